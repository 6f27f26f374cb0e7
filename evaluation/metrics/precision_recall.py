"""Precision and recall of a generated set by nearest neighbours (Kynkäänniemi et al., arXiv 1904.06991)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import Protocol
from evaluation.metrics.metric import Interval, Judge, Metric, not_measured
from evaluation.metrics.subsampling import Keep, Subsampling, rows_used, subsampled_interval
from evaluation.metrics.vectors import checked_sets

Floats = NDArray[np.float64]
NEIGHBOURS = 3
PRECISION = Protocol(
    "precision", "share", "share of outputs within the k-NN balls (k = 3) of real images, by features of judge", True
)
RECALL = Protocol(
    "recall", "share", "share of real images within the k-NN balls (k = 3) of outputs, by features of judge", True
)


def precision_recall(generated: ArrayLike, real: ArrayLike, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Return precision and recall of n×F generated against m×F real vectors; both sets hold more than `neighbours`."""
    one, two = checked_sets(generated, real)
    across, own, other = _distances(one, two), _distances(one, one), _distances(two, two)
    return _precision(across, _radii(other, neighbours)), _recall(across, _radii(own, neighbours))


def precision_recall_metrics(
    features: ArrayLike,
    reference: ArrayLike,
    judge: Judge,
    subjects: Sequence[str] | None = None,
    subsampling: Subsampling | None = None,
) -> tuple[Metric, Metric]:
    """Return both as metrics, their intervals by subsampling the subjects of the n outputs."""
    how = subsampling or Subsampling()
    one, two = checked_sets(features, reference)
    if min(len(one), len(two)) <= NEIGHBOURS:
        why = f"it needs more than {NEIGHBOURS} images of each set; there are {len(one)} and {len(two)}"
        return _unmeasured(PRECISION, judge, why, len(one)), _unmeasured(RECALL, judge, why, len(one))
    rows = rows_used(len(one), how.seed)
    statistics = _statistics(one[rows], two[rows_used(len(two), how.seed)])
    names = None if subjects is None else [subjects[row] for row in rows]
    sizes = f"; {len(one)} outputs, {len(two)} real images"
    first, second = (
        _metric(replace(protocol, text=protocol.text + sizes), statistic, len(rows), names, judge, how)
        for protocol, statistic in zip((PRECISION, RECALL), statistics, strict=True)
    )
    return first, second


def _statistics(generated: Floats, real: Floats) -> tuple[Callable[[Keep], float], Callable[[Keep], float]]:
    """Precision and recall of those n outputs that a mask keeps; every distance is computed once."""
    across, own = _distances(generated, real), _distances(generated, generated)
    radii = _radii(_distances(real, real), NEIGHBOURS)
    return (
        lambda keep: _precision(across[keep], radii),
        lambda keep: _recall(across[keep], _radii(own[np.ix_(keep, keep)], NEIGHBOURS)),
    )


def _metric(
    protocol: Protocol,
    statistic: Callable[[Keep], float],
    count: int,
    names: Sequence[str] | None,
    judge: Judge,
    how: Subsampling,
) -> Metric:
    value = statistic(np.ones(count, dtype=bool))
    interval = None if names is None else subsampled_interval(value, statistic, names, NEIGHBOURS + 1, how)
    return Metric(
        protocol.name, value, count, _within_shares(interval), protocol.unit, judge.name, judge.digest, protocol.text,
        protocol.higher_is_better,
    )  # fmt: skip


def _unmeasured(protocol: Protocol, judge: Judge, why: str, n: int) -> Metric:
    return not_measured(protocol.name, protocol.unit, judge, protocol.text, why, n)


def _within_shares(interval: Interval | None) -> Interval | None:
    """An interval of a share ends at 0 and 1."""
    if interval is None:
        return None
    return Interval(max(interval.low, 0.0), min(interval.high, 1.0), interval.level, interval.method)


def _distances(a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances n×m."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2.0 * (a @ b.T)
    return np.asarray(np.maximum(squared, 0.0))


def _radii(own: Floats, neighbours: int) -> Floats:
    """Each vector's squared distance to its k-th neighbour: n×n → n."""
    others = own + np.diag(np.full(len(own), np.inf))
    return np.asarray(np.partition(others, neighbours - 1, axis=1)[:, neighbours - 1])


def _precision(across: Floats, radii: Floats) -> float:
    return float((across <= radii[None]).any(axis=1).mean())


def _recall(across: Floats, radii: Floats) -> float:
    return float((across <= radii[:, None]).any(axis=0).mean())
