"""m-out-of-n intervals of measures of whole sets: a bootstrap that draws an image twice would bias those."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.intervals import Bootstrap, cluster_ids, percentile_interval
from evaluation.metrics.metric import Interval

Floats = NDArray[np.float64]
Keep = NDArray[np.bool_]
METHOD = (
    "m-out-of-n: {draws} draws of {share:.0%} of the subjects without replacement, deviations from their mean scaled "
    "by √(m/n)/√(1 − m/n) (Politis and Romano 1994); of the value at this number of images"
)
MOST_VECTORS = 5000
"""Vectors of a set that measures of pairs use, drawn by seed: what they compute grows with the square."""


@dataclass(frozen=True)
class Subsampling:
    """How sets are subsampled: `draws` seeded draws of a `share` of the subjects; intervals of `level`."""

    draws: int = 200
    share: float = 0.5
    level: float = 0.95
    seed: int = 0


def subsampled_interval(
    value: float, statistic: Callable[[Keep], float], subjects: Sequence[str], needed: int, how: Subsampling
) -> Interval | None:
    """Return the interval of a statistic of the images that a mask (N) keeps, around its `value` on all of them.

    None when a draw would leave fewer than `needed` images, or when there are fewer than four subjects.
    """
    masks = list(draws_of(subjects, how))
    if not masks or min(int(mask.sum()) for mask in masks) < needed:
        return None
    drawn = np.array([statistic(mask) for mask in masks])
    deviations = (drawn - drawn.mean()) * _scale(masks)  # their own mean: a draw's value is biased by its size
    method, count = METHOD.format(draws=how.draws, share=how.share), len(set(subjects))
    return percentile_interval(value - deviations, Bootstrap(level=how.level), method, count)


def draws_of(subjects: Sequence[str], how: Subsampling) -> Iterator[Keep]:
    """Yield which of N images each draw keeps: all images of the subjects drawn."""
    if not len(subjects):
        return
    ids = cluster_ids(subjects)
    count = int(ids.max()) + 1
    chosen = round(count * how.share)
    if not 1 < chosen < count - 1:
        return
    rng = np.random.Generator(np.random.PCG64(how.seed))
    for _ in range(how.draws):
        drawn = np.zeros(count, dtype=bool)
        drawn[rng.permutation(count)[:chosen]] = True
        yield drawn[ids]


def rows_used(count: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of a set that measures of pairs use: all of them, or `MOST_VECTORS` drawn by seed, in order."""
    if count <= MOST_VECTORS:
        return np.arange(count)
    return np.sort(np.random.Generator(np.random.PCG64(seed)).permutation(count)[:MOST_VECTORS])


def _scale(masks: Sequence[Keep]) -> float:
    share = float(np.mean([mask.mean() for mask in masks]))
    return float(np.sqrt(share) / np.sqrt(1.0 - share))
