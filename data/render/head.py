"""Where everything lies: a simple head in three dimensions, turned by the pose and seen straight on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.render.scene import Scene
from data.render.shapes import Egg, Vector

DEPTH = 0.58
EYE_LEVEL = -0.08  # of the picture: eyes at 0.46 of its height
MEAN_EYE_SPACING = 0.2625


@dataclass(frozen=True)
class Spot:
    """A place on the face: where it is seen, and how its surroundings are foreshortened (du/da, dv/da, dv/db)."""

    u: float
    v: float
    across: float
    shear: float
    down: float


@dataclass(frozen=True)
class Head:
    """The turned head of a scene, in head coordinates, and the frame that puts it into the picture."""

    scene: Scene
    skull: Egg
    frame: tuple[float, float, float, float, float]
    light: Vector
    """Towards the light, in head coordinates."""
    turn: tuple[float, float, float, float]
    """cos yaw, sin yaw, cos pitch, sin pitch."""

    def spot(self, across: float, down: float, out: float = 0.0) -> Spot:
        """The place `across`, `down` on the unturned face, `out` in front of its surface."""
        return _spot(self.scene, self.turn, across, down, out)

    @property
    def nose_down(self) -> float:
        """How far the nose's tip lies below the eyes."""
        return self.scene.subject.nose_length

    @property
    def mouth_down(self) -> float:
        """How far the mouth lies below the eyes."""
        subject = self.scene.subject
        return subject.nose_length + subject.mouth_place * (subject.chin_length - subject.nose_length)


def place_head(scene: Scene) -> Head:
    """Turn a scene's head by its pose and place it so that the eyes' middle is where a portrait has it."""
    pose = scene.pose
    yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw_deg, pose.pitch_deg, pose.roll_deg))
    turn = (math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch))
    scale = pose.zoom * math.sqrt(MEAN_EYE_SPACING / scene.subject.eye_spacing)
    middle = _spot(scene, turn, 0.0, 0.0, 0.0)
    cos_roll, sin_roll = math.cos(roll), math.sin(roll)
    frame = (
        pose.shift_x - scale * (cos_roll * middle.u - sin_roll * middle.v),
        EYE_LEVEL + pose.shift_y - scale * (sin_roll * middle.u + cos_roll * middle.v),
        scale,
        cos_roll,
        sin_roll,
    )
    x, y, z = scene.light.direction
    light = (x * cos_roll + y * sin_roll, y * cos_roll - x * sin_roll, z)
    return Head(scene, _skull(scene, turn), frame, light, turn)


def to_pixels(head: Head, u: float, v: float, size_px: int) -> tuple[float, float]:
    """Head coordinates to pixel coordinates (x, y); a pixel's centre is at a whole number."""
    tx, ty, scale, cos_roll, sin_roll = head.frame
    x, y = tx + scale * (cos_roll * u - sin_roll * v), ty + scale * (sin_roll * u + cos_roll * v)
    return (x + 1.0) * size_px / 2.0 - 0.5, (y + 1.0) * size_px / 2.0 - 0.5


def _skull(scene: Scene, turn: tuple[float, float, float, float]) -> Egg:
    subject = scene.subject
    _, sin_yaw, cos_pitch, sin_pitch = turn
    return Egg(
        u=0.10 * DEPTH * sin_yaw,
        v=0.04,
        width=subject.face_width * (1.0 + 0.10 * abs(sin_yaw)),
        up=(subject.skull_height + 0.04) * cos_pitch + 0.10 * sin_pitch,
        down=(subject.chin_length - 0.04) * cos_pitch - 0.40 * sin_pitch,
        square_up=0.12,
        square_down=subject.jaw_square,
        taper=subject.jaw_taper,
        lean=0.62 * DEPTH * sin_yaw,
    )


def _spot(scene: Scene, turn: tuple[float, float, float, float], across: float, down: float, out: float) -> Spot:
    cos_yaw, sin_yaw, cos_pitch, sin_pitch = turn
    half_width = 1.22 * scene.subject.face_width
    half_height = 1.35 * (scene.subject.chin_length if down > 0 else scene.subject.skull_height)
    rest = 1.0 - (across * across) / (half_width * half_width) - (down * down) / (half_height * half_height)
    surface = DEPTH * math.sqrt(max(rest, 0.12))
    fall = -DEPTH * DEPTH * across / (half_width * half_width * surface)
    z = surface + out
    depth = -across * sin_yaw + z * cos_yaw
    fall_down = -DEPTH * DEPTH * down / (half_height * half_height * surface)
    return Spot(
        u=across * cos_yaw + z * sin_yaw,
        v=down * cos_pitch - depth * sin_pitch,
        across=max(0.55, cos_yaw + fall * sin_yaw),
        shear=-(fall * cos_yaw - sin_yaw) * sin_pitch,
        down=max(0.6, cos_pitch - fall_down * cos_yaw * sin_pitch),
    )
