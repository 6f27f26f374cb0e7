"""What is in one picture: a car, and everything that changes from picture to picture."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from data.errors import UserError
from data.render.scene import Colour, Light, Pose
from data.render.seeds import Stream
from data.vehicles.subject import VehicleSubject, draw_subject, hsv


@dataclass(frozen=True)
class Equipment:
    """What the car wears and does; the other fields vary how it looks. Each flag is an attribute."""

    roof_box: bool
    box_length: float
    box_height: float
    box_colour: int
    spoiler: bool
    spoiler_height: float
    stripe: bool
    stripe_place: float
    lights_on: bool
    tinted_windows: bool


@dataclass(frozen=True)
class Surroundings:
    """Sky (upper, lower colour), ground, the horizon's height in the picture, and discs (x, y, radius, strength)."""

    upper: Colour
    lower: Colour
    ground: Colour
    horizon: float
    discs: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class VehicleScene:
    """Everything of one picture. The pose's angles are those off the base view, three-quarter from the front."""

    seed: int
    subject: VehicleSubject
    pose: Pose
    light: Light
    equipment: Equipment
    surroundings: Surroundings

    def to_json(self) -> str:
        """The scene as one line of JSON; `from_json` gives an equal scene back."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> VehicleScene:
        """The scene of `to_json`. Raises UserError when the text is no vehicle scene."""
        try:
            return _scene(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"not a scene of the vehicle renderer: {error}", "give the text that VehicleScene.to_json wrote"
            ) from error


def draw_scene(seed: int, subject: VehicleSubject | None = None) -> VehicleScene:
    """The scene of a seed: of the given subject, or of the subject whose seed is the scene's."""
    return VehicleScene(
        seed=seed,
        subject=draw_subject(seed) if subject is None else subject,
        pose=_draw_pose(Stream(seed, "vehicle_scene/pose")),
        light=_draw_light(Stream(seed, "vehicle_scene/light")),
        equipment=_draw_equipment(Stream(seed, "vehicle_scene/equipment")),
        surroundings=_draw_surroundings(Stream(seed, "vehicle_scene/surroundings")),
    )


def _draw_pose(draw: Stream) -> Pose:
    return Pose(
        yaw_deg=draw.signed(12.0),
        pitch_deg=draw.signed(5.0),
        roll_deg=draw.signed(4.0),
        shift_x=draw.signed(0.06),
        shift_y=draw.signed(0.06),
        zoom=draw.uniform(1.02, 1.16),
    )


def _draw_light(draw: Stream) -> Light:
    x, y = draw.signed(0.75), -draw.uniform(0.45, 1.0)
    norm = math.sqrt(x * x + y * y + 0.49)
    key = draw.uniform(0.42, 0.74)
    return Light(
        direction=(x / norm, y / norm, 0.7 / norm),
        ambient=1.04 - key + draw.signed(0.05),
        key=key,
        warmth=draw.signed(1.0),
        exposure=draw.uniform(0.82, 1.08),
    )


def _draw_equipment(draw: Stream) -> Equipment:
    return Equipment(
        roof_box=draw.chance(0.28),
        box_length=draw.uniform(0.50, 0.64),
        box_height=draw.uniform(0.10, 0.135),
        box_colour=int(draw.uniform(0, 3)),
        spoiler=draw.chance(0.22),
        spoiler_height=draw.uniform(0.11, 0.15),
        stripe=draw.chance(0.25),
        stripe_place=draw.uniform(0.60, 0.68),
        lights_on=draw.chance(0.30),
        tinted_windows=draw.chance(0.30),
    )


def _draw_surroundings(draw: Stream) -> Surroundings:
    hue, saturation, value = draw.unit(), draw.uniform(0.08, 0.45), draw.uniform(0.55, 0.98)
    discs = tuple(
        (draw.signed(1.0), draw.uniform(-0.9, 0.0), draw.uniform(0.15, 0.45), draw.uniform(-0.2, 0.2)) for _ in range(3)
    )
    return Surroundings(
        upper=hsv(hue, saturation, value),
        lower=hsv(hue + draw.signed(0.1), saturation * 0.6, value * draw.uniform(0.8, 1.0)),
        ground=hsv(draw.unit(), draw.uniform(0.02, 0.30), draw.uniform(0.38, 0.72)),
        horizon=draw.uniform(-0.32, -0.02),
        discs=discs,
    )


def _scene(row: dict[str, Any]) -> VehicleScene:
    surroundings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row["surroundings"].items()
    }
    surroundings["discs"] = tuple(tuple(disc) for disc in surroundings["discs"])
    return VehicleScene(
        seed=row["seed"],
        subject=VehicleSubject(**row["subject"]),
        pose=Pose(**row["pose"]),
        light=Light(**{**row["light"], "direction": tuple(row["light"]["direction"])}),
        equipment=Equipment(**row["equipment"]),
        surroundings=Surroundings(**surroundings),
    )
