"""A picture in the making: lit colour and region label per pixel, drawn from convex forms in pixel coordinates.

Distances are analytic with an edge one pixel wide, so that any size shows the same picture. Per pixel only
+ - * / sqrt min max are used: IEEE rounds those exactly, so that a scene gives the same bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from data.render.canvas import Field
from data.render.scene import Colour
from data.vehicles.regions import CHANGEABLE, REGIONS

Point = tuple[float, float]
_CODES = {name: code for code, name in enumerate(REGIONS)}
_SHARES = {name: row for row, name in enumerate(CHANGEABLE)}
_VISIBLE = 0.04  # a share of the pixel's colour
_THIN = 1e-3  # px²: a form seen from its edge


@dataclass(frozen=True)
class Picture:
    """A square picture; pixel centres are at whole numbers.

    rgb float32 3×S×S in [0, 1]; label uint8 S×S, index into REGIONS; shares float32 R×S×S: how much of a pixel's colour
    comes from each of the CHANGEABLE regions.
    """

    rgb: Field
    label: npt.NDArray[np.uint8]
    shares: Field

    def regions(self) -> npt.NDArray[np.uint8]:
        """The class of every pixel, S×S."""
        codes = np.array([_CODES[name] for name in CHANGEABLE], np.uint8)
        return np.where(self.shares.max(axis=0) >= _VISIBLE, codes[self.shares.argmax(axis=0)], self.label)

    def polygon(
        self,
        corners: Sequence[Point],
        colour: Colour,
        region: str | None = None,
        within: Sequence[Point] | None = None,
    ) -> None:
        """Fill a convex polygon (pixel coordinates), clipped to another one when `within` is given."""
        rows, columns = self._window(corners)
        distance = _inside(corners, rows, columns)
        if within is not None:
            distance = np.minimum(distance, _inside(within, rows, columns))
        self._put(rows, columns, distance, colour, region)

    def disc(self, plane: Plane, radius: float, colour: Colour, region: str, within: Sequence[Point] = ()) -> None:
        """Fill a disc around the origin of a plane, clipped to a convex polygon when one is given."""
        (ax, ay), (bx, by) = plane.across, plane.up
        reach_x, reach_y = radius * math.hypot(ax, bx), radius * math.hypot(ay, by)
        x, y = plane.origin
        rows, columns = self._window(((x - reach_x, y - reach_y), (x + reach_x, y + reach_y)))
        s, t = plane.coordinates(rows, columns)
        distance = (radius - np.sqrt(s * s + t * t)) * math.sqrt(abs(ax * by - ay * bx))
        if within:
            distance = np.minimum(distance, _inside(within, rows, columns))
        self._put(rows, columns, distance, colour, region)

    def _window(self, corners: Sequence[Point]) -> tuple[slice, slice]:
        size = self.label.shape[0]
        return _span([y for _, y in corners], size), _span([x for x, _ in corners], size)

    def _put(self, rows: slice, columns: slice, distance: Field, colour: Colour, region: str | None) -> None:
        cover = np.minimum(np.maximum(distance + 0.5, 0.0), 1.0)
        part, shares = self.rgb[:, rows, columns], self.shares[:, rows, columns]
        difference = np.array(colour, np.float32).reshape(3, 1, 1) - part
        difference *= cover
        part += difference
        if region is None:
            return
        shares *= 1.0 - cover
        if region in _SHARES:
            shares[_SHARES[region]] += cover
        else:
            np.putmask(self.label[rows, columns], cover >= 0.5, _CODES[region])


@dataclass(frozen=True)
class Plane:
    """A plane of the scene as the picture shows it: its origin, and one unit along each of its axes, in pixels."""

    origin: Point
    across: Point
    up: Point

    def coordinates(self, rows: slice, columns: slice) -> tuple[Field, Field]:
        """The plane's coordinates of every pixel of a window, each H×W."""
        (ax, ay), (bx, by) = self.across, self.up
        scale = 1.0 / (ax * by - ay * bx)
        x, y = _axis(columns, self.origin[0])[None, :], _axis(rows, self.origin[1])[:, None]
        return x * (by * scale) - y * (bx * scale), y * (ax * scale) - x * (ay * scale)


def hull(points: Sequence[Point]) -> list[Point]:
    """The convex hull of points: the outline of a convex body. Andrew's monotone chain."""
    ordered = sorted(points)
    return [*_chain(ordered), *_chain(ordered[::-1])]


def _chain(points: Sequence[Point]) -> list[Point]:
    chain: list[Point] = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0.0:
            chain.pop()
        chain.append(point)
    return chain[:-1]


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _inside(corners: Sequence[Point], rows: slice, columns: slice) -> Field:
    """Distance from the edges of a convex polygon, positive within: the least of its half planes'."""
    ring = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    area = sum(ax * by - ay * bx for (ax, ay), (bx, by) in ring)
    if abs(area) < _THIN:
        return np.full((rows.stop - rows.start, columns.stop - columns.start), -1.0, np.float32)
    planes = np.array([_half_plane(a, b, math.copysign(1.0, area)) for a, b in ring if a != b], np.float32)
    x, y = _axis(columns, 0.0), _axis(rows, 0.0)
    down = planes[:, 1, None] * y + planes[:, 2, None]
    across = planes[:, 0, None] * x
    field: Field = (down[:, :, None] + across[:, None, :]).min(axis=0)
    return field


def _half_plane(a: Point, b: Point, sign: float) -> tuple[float, float, float]:
    dx, dy = b[0] - a[0], b[1] - a[1]
    norm = sign / math.sqrt(dx * dx + dy * dy)
    return -dy * norm, dx * norm, (dy * a[0] - dx * a[1]) * norm


def _axis(span: slice, origin: float) -> Field:
    return (_counted(span.stop)[span.start :] - origin).astype(np.float32)


@lru_cache(maxsize=1024)
def _counted(count: int) -> Field:
    numbers = np.arange(count, dtype=np.float64)
    numbers.setflags(write=False)
    return numbers


def _span(places: Sequence[float], size: int) -> slice:
    first = max(0, min(size - 1, math.floor(min(places)) - 1))
    return slice(first, max(first + 1, min(size, math.ceil(max(places)) + 2)))
