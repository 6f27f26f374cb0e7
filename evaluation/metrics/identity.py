"""Is it still the same person: cosines between identity vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import (
    Bootstrap,
    Protocol,
    cluster_ids,
    pairs_interval,
    ratio_interval,
)
from evaluation.metrics.measure import Measure, Remark
from evaluation.metrics.metric import Interval, Judge, Metric, not_measured
from evaluation.metrics.vectors import checked_vectors, require_same_length, unit_rows

Floats = NDArray[np.float64]
COSINE = Protocol("identity_cosine", "cosine", "mean cosine of the output's identity vector with its input's", True)
SAME = Protocol("identity_cosine_same_subject", "cosine", "mean cosine of pairs of images of the same subject", None)
OTHER = Protocol(
    "identity_cosine_other_subject", "cosine", "mean cosine of pairs of images of different subjects", None
)


@dataclass(frozen=True)
class CosineDistributions:
    """Cosines of pairs of images of the same subject and of different subjects."""

    same: Floats
    other: Floats


def cosines(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the cosine of each row of a with the same row of b; shapes N×D, N×D → N."""
    one, two = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return np.asarray((one * two).sum(axis=1) / np.maximum(norms, 1e-12))


@dataclass(frozen=True)
class PairSummary:
    """Cosines of `pairs` pairs: mean, and the values below which 5 % and 95 % of them lie."""

    pairs: int
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> PairSummary:
        """The summary of the cosines of pairs, P > 0."""
        low, high = np.quantile(values, [0.05, 0.95])
        return cls(len(values), float(values.mean()), float(low), float(high))


def cosine_distributions(vectors: ArrayLike, subjects: Sequence[str]) -> CosineDistributions:
    """Return the cosines of all pairs of N×D vectors, by whether both show the same subject."""
    unit = unit_rows(np.asarray(vectors, dtype=np.float64))
    ids = cluster_ids(subjects)
    rows, columns = np.triu_indices(len(unit), k=1)
    values = (unit @ unit.T)[rows, columns]
    same = ids[rows] == ids[columns]
    return CosineDistributions(values[same], values[~same])


def cosine_metrics(
    vectors: ArrayLike, subjects: Sequence[str], judge: Judge, bootstrap: Bootstrap
) -> tuple[Metric, Metric]:
    """Return the mean cosine of pairs of the same subject and of different ones, what an edit's cosine is read beside.

    Shapes: N×D, N. Images without a face (rows of NaN) are left out; `n` counts pairs, and the note holds their 5 % and
    95 % quantiles. Intervals resample subjects. Raises UserError for other NaN.
    """
    checked = checked_vectors(vectors, "identity vectors")
    require_same_length("identity vectors and subjects", checked.rows, subjects)
    names = [subject for subject, known in zip(subjects, checked.known, strict=True) if known]
    unit, ids = checked.unit[checked.known], cluster_ids(names)
    distributions, (sums, counts) = cosine_distributions(unit, names), _pair_sums(unit, ids)
    own = np.diagonal(sums), np.diagonal(counts)
    apart = ~np.eye(len(sums), dtype=bool)
    missing = int(np.count_nonzero(~checked.known))
    return (
        _pair_metric(
            SAME, judge, distributions.same, missing,
            ratio_interval(*own, [str(subject) for subject in range(len(sums))], bootstrap),
        ),
        _pair_metric(
            OTHER, judge, distributions.other, missing, pairs_interval(sums * apart, counts * apart, bootstrap)
        ),
    )  # fmt: skip


def _pair_sums(unit: Floats, ids: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sums and numbers of the cosines of pairs, subject by subject: N×D → S×S, an image's pair with itself left out."""
    size = int(ids.max()) + 1 if len(ids) else 0
    totals, images = np.zeros((size, unit.shape[1])), np.bincount(ids, minlength=size).astype(np.float64)
    np.add.at(totals, ids, unit)
    squares = np.bincount(ids, weights=np.square(unit).sum(axis=1), minlength=size)
    return totals @ totals.T - np.diag(squares), np.outer(images, images) - np.diag(images)


def _pair_metric(protocol: Protocol, judge: Judge, values: Floats, missing: int, interval: Interval | None) -> Metric:
    if not len(values):
        return not_measured(protocol.name, protocol.unit, judge, protocol.text, "there is no such pair")
    pairs = PairSummary.of(values)
    note = f"5 % of the pairs below {pairs.low:.3f}, 5 % above {pairs.high:.3f}"
    note += f"; {missing} images without a face left out" if missing else ""
    return Metric(
        protocol.name, pairs.mean, pairs.pairs, interval, protocol.unit, judge.name, judge.digest, protocol.text,
        protocol.higher_is_better, note,
    )  # fmt: skip


def other_subject_indices(subjects: Sequence[str], pool: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return, for each of N subjects, the index in `pool` of an image of someone else, drawn by seed.

    Raises ValueError when the pool holds nobody else for some subject.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    order, names = rng.permutation(len(pool)), np.asarray(pool, dtype=str)
    chosen = []
    for position, subject in enumerate(subjects):
        others = order[names[order] != subject]
        if len(others) == 0:
            raise ValueError(f"the pool holds no image of anyone but {subject!r}")
        chosen.append(int(others[position % len(others)]))
    return np.asarray(chosen, dtype=np.int64)


def identity_measure(before: ArrayLike, after: ArrayLike, judge: Judge) -> Measure:
    """The cosine of each image's identity vector with its input's; shapes N×D, N×D.

    A row of NaN is an image in which no face was found: an output without one counts as a miss, cosine 0; an image
    whose input has none does not count. The note says how many. Raises UserError for other NaN.
    """
    inputs, outputs = (checked_vectors(one, "identity vectors") for one in (before, after))
    require_same_length("identity vectors before and after", inputs.rows, outputs.rows)
    values = np.where(inputs.known, cosines(inputs.rows, outputs.rows), np.nan)
    return Measure.of_values(
        COSINE, judge, values,
        Remark(inputs.known & ~outputs.known, "no face in the output, counted as a miss (cosine 0)"),
        Remark(~inputs.known, "no face in the input, not counted"),
    )  # fmt: skip
