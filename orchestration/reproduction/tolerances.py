"""How far results may lie apart on another class of device, and why: bits differ there, what they say should not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["weights", "images", "numbers"]


@dataclass(frozen=True)
class Tolerance:
    """`absolute + relative × |recorded|` is the bound; `measure` says of what, `reason` why so much."""

    kind: Kind
    measure: str
    absolute: float
    relative: float
    reason: str

    def allows(self, difference: float, recorded: float) -> bool:
        """Whether a difference from a recorded size is within the bound; NaN never is."""
        return difference <= self.absolute + self.relative * abs(recorded)


WEIGHTS = Tolerance(
    "weights",
    "Euclidean norm of the difference of all weights of a file, against their recorded norm",
    0.0,
    0.02,
    "bfloat16 rounds to 1 part in 256, differently with the order of a sum, and each step of a training carries that "
    "on; a long training goes further apart than this and is then told as different",
)
IMAGES = Tolerance(
    "images",
    "mean absolute difference of the pixels, in levels of 255",
    1.0,
    0.0,
    "one level is the rounding of an image itself; a network within its tolerance moves few pixels by more",
)
NUMBERS = Tolerance(
    "numbers",
    "difference of a value, against the recorded one",
    0.01,
    0.02,
    "a hundredth is below what the reports' intervals tell apart",
)
TOLERANCES = (WEIGHTS, IMAGES, NUMBERS)
