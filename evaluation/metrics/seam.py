"""Does the mask's edge show: how steep the output is across it, beside the input there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge

Floats = NDArray[np.float64]
Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
FLOOR_LEVELS = 1.0
"""Added to both steepnesses: an input that is flat along the edge would make any noise an endless seam."""

SEAM = Protocol(
    "seam_ratio", "ratio",
    "mean step across the mask's edge (the two pixels on its sides) in the output over that in the input, "
    "1 level added to both; 1 = no seam",
    False,
)  # fmt: skip


def steps_across(images: Images, region: Masks) -> Floats:
    """Return the mean absolute step between the pixels on both sides of the region's edge, in 8-bit levels.

    Shapes: N×H×W×3 uint8, N×H×W bool → N; NaN where the region has no edge.
    """
    signed = images.astype(np.int16)
    total, count = np.zeros(len(images)), np.zeros(len(images))
    for axis in (1, 2):
        crossing = np.diff(region, axis=axis)  # bool: true between a pixel inside and one outside
        steps = np.abs(np.diff(signed, axis=axis)).mean(axis=3)
        total += (steps * crossing).sum(axis=(1, 2))
        count += crossing.sum(axis=(1, 2))
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def seam_measure(before: Images, after: Images, region: Masks, judge: Judge) -> Measure:
    """How much steeper outputs are across the edge of `region` than their inputs, as a ratio of means.

    Shapes: N×H×W×3 uint8 twice, N×H×W bool, where changes are allowed. An image whose region has no edge does not
    count. Raises ValueError when shapes differ.
    """
    if before.shape != after.shape or region.shape != before.shape[:3]:
        raise ValueError(f"images {before.shape}, {after.shape} and regions {region.shape} do not belong together")
    above, below = steps_across(after, region), steps_across(before, region)
    known = ~np.isnan(below)
    above, below = (np.where(known, steps + FLOOR_LEVELS, 0.0) for steps in (above, below))
    return Measure(SEAM, judge, above, below)
