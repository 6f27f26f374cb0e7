"""Bootstrap intervals clustered by subject: images of one subject are not independent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

from evaluation.metrics.metric import Interval, Judge, Metric

Floats = NDArray[np.float64]
Transform = Callable[[Floats], Floats]
METHOD = "expanded percentile bootstrap clustered by subject"


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


def cluster_ids(clusters: ArrayLike) -> NDArray[np.int64]:
    """Return one small integer per image, equal for images of one subject."""
    return np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1].astype(np.int64)


@lru_cache(maxsize=8)
def _subject_weights(count: int, replicates: int, seed: int) -> Floats:
    """How often each of `count` subjects stands in each resample, replicates×count; kept: every measure asks for it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = rng.multinomial(count, np.full(count, 1.0 / count), size=replicates).astype(np.float64)
    weights.flags.writeable = False
    return weights


def subject_weights(count: int, bootstrap: Bootstrap) -> Floats:
    """Return how often each of `count` subjects stands in each resample, replicates×count, read-only."""
    return _subject_weights(count, bootstrap.replicates, bootstrap.seed)


def resampled_ratios(numerators: Floats, denominators: Floats, ids: NDArray[np.int64], bootstrap: Bootstrap) -> Floats:
    """Return Σ numerators / Σ denominators over `replicates` resamples of whole clusters.

    Shapes: three of N → replicates. Resamples whose denominators add up to zero are left out.
    """
    count = int(ids.max()) + 1
    above = np.bincount(ids, weights=numerators, minlength=count).astype(np.float64)
    below = np.bincount(ids, weights=denominators, minlength=count).astype(np.float64)
    weights = subject_weights(count, bootstrap)
    return _ratios(weights @ above, weights @ below)


def _ratios(above: Floats, below: Floats) -> Floats:
    return np.asarray(above[below > 0] / below[below > 0], dtype=np.float64)


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    clusters: Sequence[str],
    bootstrap: Bootstrap,
    transform: Transform | None = None,
) -> Interval | None:
    """Return the interval of transform(Σ numerators / Σ denominators); None with fewer than two subjects."""
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    used = below > 0  # a subject of whom nothing counts says nothing about the spread
    ids = cluster_ids(np.asarray(clusters, dtype=str)[used])
    if len(ids) == 0 or ids.max() == 0:
        return None
    ratios = resampled_ratios(above[used], below[used], ids, bootstrap)
    draws = ratios if transform is None else transform(ratios)
    return percentile_interval(draws, bootstrap, METHOD, int(ids.max()) + 1)


def pairs_interval(above: Floats, below: Floats, bootstrap: Bootstrap) -> Interval | None:
    """Return the interval of Σ above / Σ below over pairs of subjects, shapes S×S; None with fewer than two subjects.

    A pair counts as often as both its subjects were drawn together (Snijders & Borgatti 1999): too wide rather than
    too narrow where pairs share little.
    """
    count = len(above)
    if count < 2:
        return None
    weights = subject_weights(count, bootstrap)
    ratios = _ratios(((weights @ above) * weights).sum(axis=1), ((weights @ below) * weights).sum(axis=1))
    return percentile_interval(ratios, bootstrap, METHOD, count)


def percentile_interval(draws: Floats, bootstrap: Bootstrap, method: str, subjects: int | None = None) -> Interval:
    """Return the interval between the tails of the replicates' values.

    Given the number of `subjects` (two or more) that were resampled, its tails are as thin as Student's are wide: the
    plain percentiles are too narrow for few (expanded percentile interval, Hesterberg, arXiv 1411.5279).
    """
    tail = (1.0 - bootstrap.level) / 2.0
    if subjects is not None:
        tail = float(ndtr(math.sqrt(subjects / (subjects - 1)) * stdtrit(subjects - 1, tail)))
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
