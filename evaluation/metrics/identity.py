"""Is it still the same person: cosines between identity vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import Bootstrap, Protocol, cluster_ids, mean_metric
from evaluation.metrics.metric import Judge, Metric

Floats = NDArray[np.float64]
COSINE = Protocol("identity_cosine", "cosine", "mean cosine of the output's identity vector with its input's", True)


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


def cosine_distributions(vectors: ArrayLike, subjects: Sequence[str]) -> CosineDistributions:
    """Return the cosines of all pairs of N×D vectors, by whether both show the same subject."""
    array = np.asarray(vectors, dtype=np.float64)
    unit = array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)
    ids = cluster_ids(subjects)
    rows, columns = np.triu_indices(len(unit), k=1)
    values = (unit @ unit.T)[rows, columns]
    same = ids[rows] == ids[columns]
    return CosineDistributions(values[same], values[~same])


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


def identity_metric(
    inputs: ArrayLike, outputs: ArrayLike, subjects: Sequence[str], judge: Judge, bootstrap: Bootstrap
) -> Metric:
    """Return the mean cosine of N×D output vectors with their inputs'."""
    return mean_metric(COSINE, cosines(inputs, outputs), subjects, judge, bootstrap)
