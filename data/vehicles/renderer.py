"""Vehicle scenes to pictures with all their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.render.canvas import Field
from data.render.shapes import ramp
from data.vehicles.bodywork import body_ends, cabin_of, paint_body, paint_cabin, wheel_centres
from data.vehicles.car import Car, place_car
from data.vehicles.fittings import paint_roof_box, paint_roof_spoiler, paint_trunk_spoiler
from data.vehicles.picture import Picture
from data.vehicles.regions import CHANGEABLE
from data.vehicles.scene import VehicleScene

MIN_SIZE_PX, MAX_SIZE_PX = 16, 1024
POINTS = ("front", "rear", "front_wheel", "rear_wheel", "roof")


@dataclass(frozen=True)
class Rendered:
    """Pictures and their labels, one per scene.

    images uint8 N×H×W×3 (RGB); regions uint8 N×H×W (index into REGIONS); landmarks float32 N×5×2 (x, y in pixels, a
    pixel's centre is a whole number; in the order of POINTS: the seen side's ends, its wheels' hubs, the roof's
    middle); pose_deg float32 N×3 (off the base view: yaw towards the front, pitch from above, roll clockwise); box
    float32 N×4 (left, top, right, bottom of the car without its fittings in pixels).
    """

    images: npt.NDArray[np.uint8]
    regions: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    pose_deg: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]


def render(scenes: Sequence[VehicleScene], size_px: int = 64) -> Rendered:
    """Draw scenes at one size.

    Raises UserError when `size_px` is outside [16, 1024].
    """
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise UserError(
            f"cannot render at {size_px} px: expected {MIN_SIZE_PX} to {MAX_SIZE_PX}", "choose a size in that range"
        )
    images = np.empty((len(scenes), size_px, size_px, 3), np.uint8)
    regions = np.empty((len(scenes), size_px, size_px), np.uint8)
    cars = [place_car(scene, size_px) for scene in scenes]
    for index, car in enumerate(cars):
        picture = _draw(car, size_px)
        bytes_ = np.minimum(np.maximum(picture.rgb * 255.0 + 0.5, 0.0), 255.0).astype(np.uint8)
        images[index], regions[index] = bytes_.transpose(1, 2, 0), picture.regions()
    return Rendered(
        images=images,
        regions=regions,
        landmarks=np.array([_landmarks(car) for car in cars], np.float32).reshape(-1, len(POINTS), 2),
        pose_deg=np.array([_pose(scene) for scene in scenes], np.float32).reshape(-1, 3),
        box=np.array([_box(car) for car in cars], np.float32).reshape(-1, 4),
    )


def _draw(car: Car, size_px: int) -> Picture:
    picture = _surroundings(car, size_px)
    paint_body(picture, car)
    paint_trunk_spoiler(picture, car)
    paint_cabin(picture, car)
    paint_roof_spoiler(picture, car)
    paint_roof_box(picture, car)
    return picture


def _surroundings(car: Car, size_px: int) -> Picture:
    """Sky with discs out of focus, the ground, and the car's shadow on it."""
    around = car.scene.surroundings
    axis = ((np.arange(size_px, dtype=np.float64) + 0.5) * (2.0 / size_px) - 1.0).astype(np.float32)
    x, y = axis[None, :], axis[:, None]
    upper, lower, floor = (
        np.array(car.exposed(colour, 0.8), np.float32).reshape(3, 1, 1)
        for colour in (around.upper, around.lower, around.ground)
    )
    sky: Field = upper + (lower - upper) * ramp(y, -1.0, around.horizon)
    for disc_x, disc_y, radius, strength in around.discs:
        dx, dy = x - disc_x, y - disc_y
        sky = sky + (strength * ramp(radius - np.sqrt(dx * dx + dy * dy), -0.08, 0.08))
    ground: Field = floor * (0.86 + 0.14 * ramp(y, around.horizon, 1.0)) * (1.0 - 0.62 * _shadow(car, size_px))
    rgb = sky + (ground - sky) * ramp(y, around.horizon - 0.03, around.horizon + 0.03)
    plane = (size_px, size_px)
    return Picture(rgb, np.zeros(plane, np.uint8), np.zeros((len(CHANGEABLE), *plane), np.float32))


def _shadow(car: Car, size_px: int) -> Field:
    """How much of the sky the car hides from each place of the ground, H×W."""
    subject, everywhere = car.scene.subject, slice(0, size_px)
    forward, aside = car.ground_plane().coordinates(everywhere, everywhere)
    along = ramp(subject.half_length + 0.06 - np.abs(forward), -0.06, 0.10)
    across = ramp(subject.half_width + 0.06 - np.abs(aside), -0.08, 0.10)
    field: Field = along * across
    return field


def _landmarks(car: Car) -> list[tuple[float, float]]:
    cabin = cabin_of(car)
    roof = ((cabin.roof_front + cabin.roof_rear) / 2, 0.0, cabin.roof)
    return car.outline([*body_ends(car), *wheel_centres(car), roof])


def _pose(scene: VehicleScene) -> tuple[float, float, float]:
    return scene.pose.yaw_deg, scene.pose.pitch_deg, scene.pose.roll_deg


def _box(car: Car) -> tuple[float, float, float, float]:
    subject, cabin = car.scene.subject, cabin_of(car)
    length, width = subject.half_length, subject.half_width
    corners = [(x, y, z) for x in (-length, length) for y in (-width, width) for z in (0.0, subject.belt)]
    corners += [(x, y, cabin.roof) for x in (cabin.roof_rear, cabin.roof_front) for y in (-width, width)]
    xs, ys = zip(*car.outline(corners), strict=True)
    return min(xs), min(ys), max(xs), max(ys)
