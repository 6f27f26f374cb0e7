"""The part of a category that alignment moves to a preset position: its two points, and where they go by default.

Source: METHODS A1 (US 2024/0193822 A1). This much of a category is known without drawing anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import UserError

Point = tuple[float, float]


@dataclass(frozen=True)
class ReferencePart:
    """What images of a category are aligned by.

    `points` are the first two landmarks of its images, `places` where they go by default, in fractions of the crop;
    `detectors` says who can find them in a photograph.
    """

    category: str
    name: str
    points: tuple[str, str]
    places: tuple[Point, Point]
    detectors: tuple[str, ...] = ()

    def places_of(self, given: Mapping[str, Point]) -> tuple[Point, Point]:
        """The places in force: the given ones, and the default for a point that is not given.

        Raises UserError for a point that the category has not, and where the two have changed sides, which would
        turn every picture round.
        """
        unknown = sorted(set(given) - set(self.points))
        if unknown:
            raise UserError(
                f"aligned_images.template names {unknown[0]!r}, but a {self.category} is aligned by its {self.name}.",
                f"Its points are {self.points[0]} and {self.points[1]}.",
            )
        first, second = (given.get(name, place) for name, place in zip(self.points, self.places, strict=True))
        rightwards = self.places[0][0] < self.places[1][0]
        if (first[0] >= second[0]) if rightwards else (first[0] <= second[0]):
            side = "right" if rightwards else "left"
            raise UserError(
                f"aligned_images.template: {self.points[0]} lies {side} of {self.points[1]}.",
                "Exchange the two; left is the image's left.",
            )
        return first, second


REFERENCE_PARTS: Mapping[str, ReferencePart] = {
    part.category: part
    for part in (
        ReferencePart("face", "eyes", ("left_eye", "right_eye"), ((0.37, 0.46), (0.63, 0.46)), ("dlib",)),
        ReferencePart("vehicle", "body", ("front", "rear"), ((0.28, 0.66), (0.88, 0.56))),
    )
}


def reference_part(category: str) -> ReferencePart:
    """The reference part of a category; UserError names the nearest one when there is none of that name."""
    if category not in REFERENCE_PARTS:
        close = difflib.get_close_matches(category, REFERENCE_PARTS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise UserError(f"There is no category {category!r}.", f"{hint}Categories: {', '.join(REFERENCE_PARTS)}.")
    return REFERENCE_PARTS[category]
