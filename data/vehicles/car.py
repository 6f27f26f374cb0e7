"""Where everything lies: a car in three dimensions, turned by the pose and seen from far away.

Car coordinates: x forward, y to the side that is seen, z up; the origin is on the ground below the body's middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.render.scene import Colour
from data.vehicles.picture import Plane, Point
from data.vehicles.scene import VehicleScene

Place = tuple[float, float, float]

BASE_YAW_DEG, BASE_PITCH_DEG = 32.0, 17.0
_MIDDLE = (0.0, 0.0, 0.26)  # what the picture's centre shows
_CENTRE_Y = 0.06
_MEAN_HALF_LENGTH = 0.68


@dataclass(frozen=True)
class Car:
    """The turned car of a scene; `matrix` maps a place to pixels, `light` is towards the light in car coordinates."""

    scene: VehicleScene
    matrix: tuple[tuple[float, float, float, float], tuple[float, float, float, float]]
    viewer: Place
    light: Place

    def seen(self, place: Place) -> Point:
        """A place of the car in pixel coordinates."""
        (a, b, c, d), (e, f, g, h) = self.matrix
        x, y, z = place
        return a * x + b * y + c * z + d, e * x + f * y + g * z + h

    def outline(self, places: Sequence[Place]) -> list[Point]:
        """Places of the car in pixel coordinates."""
        return [self.seen(place) for place in places]

    def side_plane(self, x: float, y: float, z: float) -> Plane:
        """The upright plane along the car through a place; its axes point forward and up."""
        (a, _, c, _), (e, _, g, _) = self.matrix
        return Plane(self.seen((x, y, z)), (a, e), (c, g))

    def ground_plane(self) -> Plane:
        """The ground; its axes point forward and to the side that is seen."""
        (a, b, _, _), (e, f, _, _) = self.matrix
        return Plane(self.seen((0.0, 0.0, 0.0)), (a, e), (b, f))

    def faces_viewer(self, normal: Place) -> bool:
        """Whether a surface of this outward normal is seen."""
        return _dot(normal, self.viewer) > 0.0

    def lit(self, colour: Colour, normal: Place, wrap: float = 0.35) -> Colour:
        """A colour under the scene's light, on a surface of this normal (of any length)."""
        facing = _dot(normal, self.light) / math.sqrt(_dot(normal, normal))
        return self.exposed(colour, max((facing + wrap) / (1.0 + wrap), 0.0))

    def exposed(self, colour: Colour, shade: float) -> Colour:
        """A colour that gets `shade` of the key light; a soft shoulder above 0.8 keeps it from clipping."""
        light = self.scene.light
        red, green, blue = (
            _shoulder(
                albedo
                * light.exposure
                * (light.ambient * (1.0 + 0.5 * warm * light.warmth) + light.key * shade * (1.0 + warm * light.warmth))
            )
            for albedo, warm in zip(colour, (0.09, 0.0, -0.13), strict=True)
        )
        return red, green, blue


def place_car(scene: VehicleScene, size_px: int) -> Car:
    """Turn a scene's car by its pose and place it in the picture's middle."""
    pose = scene.pose
    yaw, pitch = math.radians(BASE_YAW_DEG + pose.yaw_deg), math.radians(BASE_PITCH_DEG + pose.pitch_deg)
    cos_yaw, sin_yaw, cos_pitch, sin_pitch = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    roll = math.radians(pose.roll_deg)
    cos_roll, sin_roll = math.cos(roll), math.sin(roll)
    # Rows of the turn: to the right, down, towards the viewer.
    right = (-cos_yaw, sin_yaw, 0.0)
    down = (sin_yaw * sin_pitch, cos_yaw * sin_pitch, -cos_pitch)
    viewer = (sin_yaw * cos_pitch, cos_yaw * cos_pitch, sin_pitch)
    x_axis = _sum(right, cos_roll, down, -sin_roll)
    y_axis = _sum(right, sin_roll, down, cos_roll)
    scale = pose.zoom * math.sqrt(_MEAN_HALF_LENGTH / scene.subject.half_length) * size_px / 2.0
    centre_x = (1.0 + pose.shift_x) * size_px / 2.0 - 0.5 - scale * _dot(x_axis, _MIDDLE)
    centre_y = (1.0 + _CENTRE_Y + pose.shift_y) * size_px / 2.0 - 0.5 - scale * _dot(y_axis, _MIDDLE)
    light_x, light_y, light_z = scene.light.direction
    light = _sum(_sum(x_axis, light_x, y_axis, light_y), 1.0, viewer, light_z)
    rows = (_row(x_axis, scale, centre_x), _row(y_axis, scale, centre_y))
    return Car(scene, rows, viewer, light)


def _row(axis: Place, scale: float, offset: float) -> tuple[float, float, float, float]:
    return axis[0] * scale, axis[1] * scale, axis[2] * scale, offset


def _sum(first: Place, first_share: float, second: Place, second_share: float) -> Place:
    x, y, z = (a * first_share + b * second_share for a, b in zip(first, second, strict=True))
    return x, y, z


def _dot(first: Place, second: Place) -> float:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _shoulder(value: float) -> float:
    over = max(value - 0.8, 0.0)
    return min(value, 0.8) + over / (1.0 + 2.2 * over)
