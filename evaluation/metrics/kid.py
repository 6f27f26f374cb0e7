"""Kernel distance of two sets of feature vectors: the squared MMD of a cubic kernel (Bińkowski et al., 1801.01401)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.frechet import INCEPTION
from evaluation.metrics.intervals import Protocol
from evaluation.metrics.metric import Judge, Metric, not_measured
from evaluation.metrics.subsampling import Keep, Subsampling, rows_used, subsampled_interval
from evaluation.metrics.vectors import checked_sets

Floats = NDArray[np.float64]
TEXT = "unbiased squared MMD of the kernel (x·y/F + 1)³ over features of judge, float64"


def squared_mmd(a: ArrayLike, b: ArrayLike) -> float:
    """Return the unbiased squared MMD of n×F and m×F vectors; it can be below zero."""
    one, two = checked_sets(a, b)
    return _mmd(_kernel(one, one), _kernel(one, two), _within(_kernel(two, two)))


def kid_metric(
    features: ArrayLike,
    reference: ArrayLike,
    judge: Judge,
    subjects: Sequence[str] | None = None,
    subsampling: Subsampling | None = None,
) -> Metric:
    """Return the squared MMD of n×F vectors against m×F as a metric, its interval by subsampling the subjects."""
    how = subsampling or Subsampling()
    one, two = checked_sets(features, reference)
    name = "kid" if judge.name == INCEPTION else "kernel_distance"
    protocol = Protocol(name, "mmd2", f"{TEXT}; {len(one)} measured against {len(two)} reference images", False)
    if min(len(one), len(two)) < 2:
        why = f"it needs two images of each set; there are {len(one)} and {len(two)}"
        return not_measured(name, protocol.unit, judge, protocol.text, why, len(one))
    rows = rows_used(len(one), how.seed)
    drawn, fixed = one[rows], two[rows_used(len(two), how.seed)]
    own, across, within = _kernel(drawn, drawn), _kernel(drawn, fixed), _within(_kernel(fixed, fixed))
    value = _mmd(own, across, within)
    interval = None
    if subjects is not None:
        names = [subjects[row] for row in rows]
        interval = subsampled_interval(value, _of_draw(own, across, within), names, 2, how)
    return Metric(name, value, len(one), interval, protocol.unit, judge.name, judge.digest, protocol.text, False)


def _of_draw(own: Floats, across: Floats, within: float) -> Callable[[Keep], float]:
    """The distance of those vectors that a mask keeps, from the kernel's matrices of all."""
    return lambda keep: _mmd(own[np.ix_(keep, keep)], across[keep], within)


def _mmd(own: Floats, across: Floats, within: float) -> float:
    return float(_within(own) + within - 2.0 * across.mean())


def _within(kernel: Floats) -> float:
    """The mean of a set's kernel matrix without its diagonal."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def _kernel(a: Floats, b: Floats) -> Floats:
    base = a @ b.T / a.shape[1] + 1.0
    return np.asarray(base * base * base)  # NumPy's power takes ten times as long
