"""A picture in the making: colour, light and region label per pixel, in the head's own coordinates.

Everything is drawn from analytic distances with an edge one pixel wide, so that any size shows the same picture. Per
pixel only + - * / sqrt min max are used: IEEE rounds those exactly, so that a scene gives the same bytes on every
machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from data.render.regions import REGIONS
from data.render.scene import Colour

Field: TypeAlias = npt.NDArray[Any]  # float32, H×W
_CODES = {name: code for code, name in enumerate(REGIONS)}


@dataclass(frozen=True)
class Canvas:
    """A picture, or a window of one that shares its memory.

    x, y: H×W in the picture's coordinates ([-1, 1], y down). u, v: H×W in the head's coordinates (origin at the middle
    of the head at eye level, no roll). albedo 3×H×W; shade (how much key light arrives), gloss: H×W; label: uint8 H×W.
    `pixel` is a pixel's width in head units; `frame` is (shift x, shift y, scale, cos roll, sin roll).
    """

    x: Field
    y: Field
    u: Field
    v: Field
    albedo: Field
    shade: Field
    gloss: Field
    label: npt.NDArray[np.uint8]
    pixel: float
    frame: tuple[float, float, float, float, float]

    def window(self, left: float, right: float, top: float, bottom: float) -> Canvas:
        """The part of the canvas that holds the given box of head coordinates."""
        tx, ty, scale, cos_roll, sin_roll = self.frame
        middle_u, middle_v = (left + right) / 2, (top + bottom) / 2
        half_u, half_v = (right - left) / 2 + self.pixel, (bottom - top) / 2 + self.pixel
        x = tx + scale * (cos_roll * middle_u - sin_roll * middle_v)
        y = ty + scale * (sin_roll * middle_u + cos_roll * middle_v)
        half_x = scale * (abs(cos_roll) * half_u + abs(sin_roll) * half_v)
        half_y = scale * (abs(sin_roll) * half_u + abs(cos_roll) * half_v)
        height, width = self.label.shape
        x0, y0 = float(self.x[0, 0]), float(self.y[0, 0])
        step = self.pixel * scale
        rows = _span(y - half_y - y0, y + half_y - y0, step, height)
        columns = _span(x - half_x - x0, x + half_x - x0, step, width)
        part = (rows, columns)
        return Canvas(
            self.x[part], self.y[part], self.u[part], self.v[part], self.albedo[:, rows, columns],
            self.shade[part], self.gloss[part], self.label[part], self.pixel, self.frame,
        )  # fmt: skip

    def edge(self, distance: Field) -> Field:
        """Coverage in [0, 1] of the side where a distance in head units is positive."""
        return np.minimum(np.maximum(distance * (1.0 / self.pixel) + 0.5, 0.0), 1.0)

    def line(self, distance: Field, half_width: Field | float) -> Field:
        """Coverage of a line around distance 0. Lines thinner than a pixel get fainter, not wider."""
        return self.edge(half_width - distance) - self.edge(-half_width - distance)

    def paint(self, cover: Field, colour: Colour | Field, region: str | None = None) -> None:
        """Put a colour (a triple, or 3×H×W) where `cover` is; label the pixels that it covers by half."""
        top = np.asarray(colour, np.float32).reshape(3, 1, 1) if isinstance(colour, tuple) else colour
        difference = top - self.albedo
        difference *= cover
        self.albedo[...] += difference
        if region is not None:
            self.mark(cover, region)

    def tint(self, cover: Field, factor: Colour) -> None:
        """Multiply the colour by a factor where `cover` is."""
        for channel, value in enumerate(factor):
            self.albedo[channel] *= 1.0 + cover * (value - 1.0)

    def light(self, cover: Field, shade: Field | float, gloss: Field | float = 0.0) -> None:
        """Replace light and gloss where `cover` is."""
        self.shade[...] += cover * (shade - self.shade)
        self.gloss[...] += cover * (gloss - self.gloss)

    def mark(self, cover: Field, region: str) -> None:
        """Label the pixels that are covered by half or more."""
        np.putmask(self.label, cover >= 0.5, _CODES[region])


def blank(size_px: int, frame: tuple[float, float, float, float, float]) -> Canvas:
    """An empty square canvas whose head coordinates lie in `frame`."""
    x, y = _grid(size_px)
    tx, ty, scale, cos_roll, sin_roll = frame
    dx, dy = x - tx, y - ty
    u = dx * (cos_roll / scale) + dy * (sin_roll / scale)
    v = dy * (cos_roll / scale) - dx * (sin_roll / scale)
    plane = (size_px, size_px)
    return Canvas(
        x, y, u, v, np.zeros((3, *plane), np.float32), np.zeros(plane, np.float32), np.zeros(plane, np.float32),
        np.zeros(plane, np.uint8), 2.0 / size_px / scale, frame,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _grid(size_px: int) -> tuple[Field, Field]:
    centres = ((np.arange(size_px, dtype=np.float64) + 0.5) * (2.0 / size_px) - 1.0).astype(np.float32)
    x = np.broadcast_to(centres[None, :], (size_px, size_px)).copy()
    y = np.broadcast_to(centres[:, None], (size_px, size_px)).copy()
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def _span(low: float, high: float, step: float, count: int) -> slice:
    first = max(0, min(count - 1, int(low / step)))
    last = max(first + 1, min(count, int(high / step) + 2))
    return slice(first, last)
