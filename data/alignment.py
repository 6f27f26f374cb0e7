"""Pictures to a common place: a similarity transform that moves two reference points to preset positions.

Coordinates are pixels, x to the right and y down; a pixel's centre is at a whole number, as OpenCV, dlib and the
renderer count. The image so reaches from -0.5 to its size - 0.5.
A transform is a 2×3 float64 matrix from source to crop coordinates. Source: US 2024/0193822 A1, alignment of the sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from data.png import Pixels
from data.reference_part import Point, reference_part

Transform = NDArray[np.float64]
Landmarks = NDArray[np.float32]
Fill = Literal["edge", "reflect"] | tuple[int, int, int]
T = TypeVar("T", np.uint8, np.float32)

LEFT_EYE, RIGHT_EYE, NOSE, MOUTH_LEFT, MOUTH_RIGHT = range(5)


@dataclass(frozen=True)
class Template:
    """Where the two reference points go, in fractions of the crop; by default a face's eyes, the image's left first."""

    first: Point = (0.37, 0.46)
    second: Point = (0.63, 0.46)
    names: tuple[str, str] = ("left_eye", "right_eye")

    def __post_init__(self) -> None:
        if not all(0 < value < 1 for value in (*self.first, *self.second)):
            raise UserError(
                f"A point of the template lies outside the crop: {self}.", "Give fractions between 0 and 1."
            )

    @classmethod
    def of(cls, category: str, given: Mapping[str, Sequence[float]]) -> Template:
        """The template of a category with the given places by point; raises UserError for points that are not its."""
        part = reference_part(category)
        return cls(*part.places_of({name: (place[0], place[1]) for name, place in given.items()}), names=part.points)

    @property
    def places(self) -> dict[str, list[float]]:
        """The places by the points' names, as a payload records them."""
        return dict(zip(self.names, (list(self.first), list(self.second)), strict=True))

    def points_px(self, size_px: int) -> NDArray[np.float64]:
        """The points' positions in a crop of `size_px`, 2×2: (first, second) × (x, y)."""
        return np.array([self.first, self.second], np.float64) * size_px - 0.5


def similarity(landmarks: Landmarks, template: Template, size_px: int) -> Transform:
    """The rotation, scale and shift that moves the first two of P×2 landmarks onto the template.

    Returns 2×3 float64, source to crop of `size_px`. Raises ValueError when the two coincide or are not finite.
    """
    first, second = np.asarray(landmarks[:2], np.float64) @ (1, 1j)
    to_first, to_second = template.points_px(size_px) @ (1, 1j)
    turn = (to_second - to_first) / (second - first) if abs(second - first) > 1e-6 else complex("nan")
    shift = to_first - turn * first
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float64)
    if not np.isfinite(matrix).all():
        raise ValueError("the two reference points coincide or are not finite")
    return matrix


def transform_points(points: NDArray[np.floating], transform: Transform) -> Landmarks:
    """N×2 points through a 2×3 transform, as float32."""
    moved = np.asarray(points, np.float64) @ transform[:, :2].T + transform[:, 2]
    return moved.astype(np.float32)


def scale_of(transform: Transform) -> float:
    """Crop pixels per source pixel."""
    return math.sqrt(abs(float(np.linalg.det(transform[:, :2]))))


def invert(transform: Transform) -> Transform:
    """The transform from crop back to source coordinates, 2×3."""
    inverse = np.linalg.inv(transform[:, :2])
    return np.column_stack([inverse, -inverse @ transform[:, 2]])


def align(image: Pixels, transform: Transform, size_px: int, fill: Fill = "edge") -> Pixels:
    """The aligned crop, uint8 S×S×3, antialiased when it shrinks the image.

    `fill` is what lies beyond the photo's border: its edge pixels, its reflection, or an RGB colour.
    """
    image, transform = _shrunk(image, transform)
    fold = _fold(scale_of(transform))
    method = cv2.INTER_LINEAR if fold > 1 else cv2.INTER_CUBIC
    crop = _warp(image, _denser(transform, fold), (size_px * fold, size_px * fold), method, fill)
    return _box(crop, size_px) if fold > 1 else crop


def align_labels(labels: Pixels, transform: Transform, size_px: int, fill: Fill = "edge") -> Pixels:
    """Class indices uint8 H×W moved as `align` moves the image; each pixel gets the class that covers most of it.

    Beyond the border stands the edge's class, or class 0 when `fill` is a colour.
    """
    fold = 2 * _fold(scale_of(transform)) + 1  # odd, so that one sample lies on the centre and ties are rare
    side = size_px * fold
    filled: Fill = (0, 0, 0) if isinstance(fill, tuple) else fill
    dense = _warp(labels, _denser(transform, fold), (side, side), cv2.INTER_NEAREST, filled)
    classes = np.unique(dense)
    counts = [_box((dense == label).astype(np.float32), size_px) for label in classes]
    return np.asarray(classes[np.argmax(np.stack(counts), axis=0)], np.uint8)


def paste_back(photo: Pixels, edited_crop: Pixels, transform: Transform, feather: float = 0.08) -> Pixels:
    """The photo with the edited crop back in its place, blended over the crop's border.

    `feather` is the blending width as a fraction of the crop. Outside the crop the photo stays bit for bit.
    """
    return _blend(photo, edited_crop.astype(np.float32), transform, feather, keep=0.0)


def paste_difference(
    photo: Pixels, crop: Pixels, edited_crop: Pixels, transform: Transform, feather: float = 0.08
) -> Pixels:
    """The photo plus the enlarged difference of the edited and the plain crop.

    A small crop's edit so leaves the photo's own detail where nothing was changed.
    """
    difference = edited_crop.astype(np.float32) - crop.astype(np.float32)
    return _blend(photo, difference, transform, feather, keep=1.0)


def _blend(photo: Pixels, crop: NDArray[np.float32], transform: Transform, feather: float, keep: float) -> Pixels:
    """photo ← photo·(1 − α·(1 − keep)) + α·crop inside the crop's box; keep = 1 adds, keep = 0 replaces."""
    x0, y0, x1, y1 = _box_in_photo(photo, transform, crop.shape[0])
    if x0 >= x1 or y0 >= y1:
        return photo.copy()
    back = invert(transform) - np.array([[0, 0, x0], [0, 0, y0]], np.float64)
    layer = _warp(crop, back, (x1 - x0, y1 - y0), cv2.INTER_CUBIC, "edge")
    alpha = _warp(_ramp(crop.shape[0], feather), back, (x1 - x0, y1 - y0), cv2.INTER_LINEAR, (0, 0, 0))[..., None]
    window = photo[y0:y1, x0:x1].astype(np.float32)
    mixed = np.rint(window * (1 - alpha * (1 - keep)) + alpha * layer)
    result = photo.copy()
    result[y0:y1, x0:x1] = np.clip(mixed, 0, 255).astype(np.uint8)
    return result


def _box_in_photo(photo: Pixels, transform: Transform, size_px: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the part of the photo that the crop can touch."""
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float64) - 0.5
    placed = transform_points(corners, invert(transform)) + 0.5
    low = np.clip(np.floor(placed.min(axis=0)), 0, None).astype(int)
    high = np.minimum(np.ceil(placed.max(axis=0)), [photo.shape[1], photo.shape[0]]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _ramp(size_px: int, feather: float) -> NDArray[np.float32]:
    """S×S weights: 1 inside, falling smoothly to 0 at the border over `feather` of the side."""
    centres = (np.arange(size_px) + 0.5) / size_px
    edge = np.minimum(centres, 1 - centres) - 0.5 / size_px  # the outermost pixel is 0: no seam at the crop's edge
    ramp = np.clip(edge / max(feather, 1 / size_px), 0, 1)
    smooth = ramp * ramp * (3 - 2 * ramp)
    return np.outer(smooth, smooth).astype(np.float32)


def _fold(scale: float) -> int:
    """Samples per crop pixel and axis that a shrinking transform needs."""
    return 1 if scale >= 0.999 else math.ceil(1 / scale)


def _shrunk(image: Pixels, transform: Transform) -> tuple[Pixels, Transform]:
    """A large photo first shrunk by area averaging, to no less than twice the crop's resolution."""
    factor = int(1 / (2 * max(scale_of(transform), 1e-9)))
    height, width = image.shape[:2]
    small_width, small_height = max(width // max(factor, 1), 1), max(height // max(factor, 1), 1)
    if factor < 2:
        return image, transform
    small = cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA)
    grow = np.array([width / small_width, height / small_height])
    shift = transform[:, :2] @ (0.5 * grow - 0.5) + transform[:, 2]  # both grids begin at the same outer edge, -0.5
    return np.asarray(small, np.uint8), np.column_stack([transform[:, :2] * grow, shift])


def _denser(transform: Transform, fold: int) -> Transform:
    """The transform into a crop of `fold` times the resolution, its outer edge at -0.5 as before."""
    return transform * fold + np.array([[0, 0, 1], [0, 0, 1]], np.float64) * (fold - 1) / 2


def _box(dense: NDArray[T], size_px: int) -> NDArray[T]:
    """Averages k×k blocks: kS×kS×C → S×S×C."""
    return np.asarray(cv2.resize(dense, (size_px, size_px), interpolation=cv2.INTER_AREA), dense.dtype)


def _warp(image: NDArray[T], transform: Transform, size: tuple[int, int], method: int, fill: Fill) -> NDArray[T]:
    """`image` through `transform` into (width, height)."""
    borders = {"edge": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}
    border = cv2.BORDER_CONSTANT if isinstance(fill, tuple) else borders[fill]
    value = fill if isinstance(fill, tuple) else (0, 0, 0)
    warped = cv2.warpAffine(image, transform, size, flags=method, borderMode=border, borderValue=value)
    return np.asarray(warped, image.dtype)
