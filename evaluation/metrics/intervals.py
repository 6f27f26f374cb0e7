"""Bootstrap intervals clustered by subject: images of one subject are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.metric import Interval, Judge, Metric

Floats = NDArray[np.float64]
Transform = Callable[[Floats], Floats]
METHOD = "percentile bootstrap clustered by subject"


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: `replicates` resamples of whole subjects, seeded, at `level`."""

    replicates: int = 2000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Protocol:
    """What one metric says about itself besides its value."""

    name: str
    unit: str
    text: str
    higher_is_better: bool | None = None


def cluster_ids(clusters: Sequence[str]) -> NDArray[np.int64]:
    """Return one small integer per image, equal for images of one subject."""
    return np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1].astype(np.int64)


def resampled_ratios(numerators: Floats, denominators: Floats, ids: NDArray[np.int64], bootstrap: Bootstrap) -> Floats:
    """Return Σ numerators / Σ denominators over `replicates` resamples of whole clusters.

    Shapes: three of N → replicates. Resamples whose denominators add up to zero are left out.
    """
    count = int(ids.max()) + 1
    rng = np.random.Generator(np.random.PCG64(bootstrap.seed))
    weights = rng.multinomial(count, np.full(count, 1.0 / count), size=bootstrap.replicates).astype(np.float64)
    above = weights @ np.bincount(ids, weights=numerators, minlength=count)
    below = weights @ np.bincount(ids, weights=denominators, minlength=count)
    return np.asarray(above[below > 0] / below[below > 0], dtype=np.float64)


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    clusters: Sequence[str],
    bootstrap: Bootstrap,
    transform: Transform | None = None,
) -> Interval | None:
    """Return the interval of transform(Σ numerators / Σ denominators); None with fewer than two subjects."""
    ids = cluster_ids(clusters)
    if len(ids) == 0 or ids.max() == 0:
        return None
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    ratios = resampled_ratios(above, below, ids, bootstrap)
    return percentile_interval(ratios if transform is None else transform(ratios), bootstrap, METHOD)


def percentile_interval(draws: Floats, bootstrap: Bootstrap, method: str) -> Interval:
    """Return the interval between the tails of the replicates' values."""
    tail = (1.0 - bootstrap.level) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(float(low), float(high), bootstrap.level, method)


def mean_metric(
    protocol: Protocol, values: ArrayLike, clusters: Sequence[str], judge: Judge, bootstrap: Bootstrap
) -> Metric:
    """Return the mean over images of `values` (N) as a metric with its clustered interval."""
    array = np.asarray(values, dtype=np.float64)
    return ratio_metric(protocol, array, np.ones_like(array), clusters, judge, bootstrap)


def ratio_metric(
    protocol: Protocol,
    numerators: Floats,
    denominators: Floats,
    clusters: Sequence[str],
    judge: Judge,
    bootstrap: Bootstrap,
    transform: Transform | None = None,
) -> Metric:
    """Return transform(Σ numerators / Σ denominators) as a metric; None when the denominators add up to zero."""
    used = int(np.count_nonzero(denominators))
    value: float | None = None
    interval: Interval | None = None
    if used:
        ratio = np.array([numerators.sum() / denominators.sum()])
        value = float((ratio if transform is None else transform(ratio))[0])
        interval = ratio_interval(numerators, denominators, clusters, bootstrap, transform)
    note = "" if used else "there was nothing to measure on"
    return Metric(
        protocol.name, value, used, interval, protocol.unit, judge.name, judge.digest, protocol.text,
        protocol.higher_is_better, note,
    )  # fmt: skip
