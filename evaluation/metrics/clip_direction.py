"""CLIP directional similarity: did the picture move as the sentence did (Gal et al., arXiv 2108.00946, eq. 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import UserError
from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure, Remark
from evaluation.metrics.metric import Judge
from evaluation.metrics.vectors import checked_vectors, require_same_length

Floats = NDArray[np.float64]
STILL = 1e-6
"""Unit vectors nearer than this are the same: float32 networks give no finer difference."""

DIRECTION = Protocol(
    "clip_direction",
    "cosine",
    "mean cosine of the image's direction in CLIP with the sentence's; no direction is 0",
    True,
)


def _direction(before: ArrayLike, after: ArrayLike, what: str) -> Floats:
    """The step from one unit vector to the other, N×D."""
    one, two = (checked_vectors(vectors, what, faceless=False) for vectors in (before, after))
    require_same_length(f"{what} before and after", one.rows, two.rows)
    return two.unit - one.unit


def clip_direction_measure(
    image_before: ArrayLike, image_after: ArrayLike, text_before: ArrayLike, text_after: ArrayLike, judge: Judge
) -> Measure:
    """The cosine of E_I(after) − E_I(before) with E_T(target) − E_T(source), all at unit length; four of N×D.

    Texts may also be one vector for all images (D, or 1×D). An image that does not move (nothing was done) counts as
    0, and the note says how many. Raises UserError for NaN and for sentences that are one and the same to the judge.
    """
    moved = _direction(image_before, image_after, "CLIP's image vectors")
    said = _direction(np.atleast_2d(text_before), np.atleast_2d(text_after), "CLIP's text vectors")
    if len(said) == 1:
        said = np.repeat(said, len(moved), axis=0)
    require_same_length("CLIP's image and text vectors", moved, said)
    lengths = np.linalg.norm(said, axis=1)
    if len(lengths) and lengths.min() < STILL:
        row = int(lengths.argmin())
        hint = "Say in the prompt what should change, and in the source text what is there."
        raise UserError(f"Prompt and source text of row {row} are the same to the judge {judge.name}.", hint)
    steps = np.linalg.norm(moved, axis=1)
    still = steps < STILL
    cosines = (moved * said).sum(axis=1) / np.where(still, 1.0, steps * lengths)
    remark = Remark(still, "the picture did not move in CLIP, counted as 0")
    return Measure.of_values(DIRECTION, judge, np.where(still, 0.0, cosines), remark)
