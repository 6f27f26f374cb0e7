"""Fréchet distance between two sets of feature vectors (Heusel et al., arXiv 1706.08500, eq. 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import UserError
from evaluation.metrics.intervals import Protocol
from evaluation.metrics.metric import Judge, Metric, not_measured

Floats = NDArray[np.float64]
PROTOCOL = Protocol("frechet_distance", "distance", "features of judge, unbiased covariance, float64", False)


@dataclass(frozen=True)
class Moments:
    """Count, mean (F) and unbiased covariance (F×F) of feature vectors."""

    count: int
    mean: Floats
    covariance: Floats


class TooFewVectorsError(UserError):
    """Fewer feature vectors than a covariance of full rank needs."""


class MomentsAccumulator:
    """Streams feature vectors into their moments in float64 (Chan et al. 1979, pairwise update)."""

    def __init__(self, dimensions: int) -> None:
        self._count = 0
        self._mean = np.zeros(dimensions, dtype=np.float64)
        self._scatter = np.zeros((dimensions, dimensions), dtype=np.float64)

    def update(self, features: ArrayLike) -> None:
        """Add a block of n×F vectors; raises UserError on NaN, infinity or a wrong width."""
        block = np.asarray(features, dtype=np.float64)
        _check_block(block, self._mean.size)
        n = block.shape[0]
        if n == 0:
            return
        block_mean = block.mean(axis=0)
        centred = block - block_mean
        delta, total = block_mean - self._mean, self._count + n
        self._scatter += centred.T @ centred + np.outer(delta, delta) * (self._count * n / total)
        self._mean += delta * (n / total)
        self._count = total

    def moments(self) -> Moments:
        """Return the moments so far; raises TooFewVectorsError when the covariance would not have full rank."""
        if self._count <= self._mean.size:
            raise TooFewVectorsError(
                f"A Fréchet distance of {self._mean.size} features needs more than {self._mean.size} images, "
                f"but there are {self._count}.",
                "Measure on more images.",
            )
        return Moments(self._count, self._mean.copy(), self._scatter / (self._count - 1))


def _check_block(block: Floats, dimensions: int) -> None:
    if block.ndim != 2 or block.shape[1] != dimensions:
        raise UserError(f"Features must be n×{dimensions}, but their shape is {block.shape}.")
    if not np.isfinite(block).all():
        row = int(np.argwhere(~np.isfinite(block))[0, 0])
        raise UserError(
            f"Features hold NaN or infinity, first in row {row} of a block.",
            "Check the judge and the image of that row.",
        )


def moments_of(blocks: Iterable[ArrayLike], dimensions: int) -> Moments:
    """Return the moments of blocks of n×F feature vectors, one block in memory at a time."""
    accumulator = MomentsAccumulator(dimensions)
    for block in blocks:
        accumulator.update(block)
    return accumulator.moments()


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    scaled = vectors * np.sqrt(np.clip(values, 0.0, None))
    return np.asarray(scaled @ vectors.T, dtype=np.float64)


def trace_of_root(a: Floats, b: Floats) -> float:
    """Return tr((A·B)^½) of two covariances through the symmetric A^½·B·A^½, whose eigenvalues are real."""
    root = _root(a)
    product = root @ b @ root
    return float(np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0.0, None)).sum())


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return ‖μa − μb‖² + tr(Ca + Cb − 2·(Ca·Cb)^½), never below zero."""
    difference = a.mean - b.mean
    traces = float(np.trace(a.covariance) + np.trace(b.covariance))
    distance = float(difference @ difference) + traces - 2.0 * trace_of_root(a.covariance, b.covariance)
    return max(distance, 0.0)


def frechet_metric(measured: ArrayLike, reference: ArrayLike, judge: Judge) -> Metric:
    """Return the distance of two n×F sets as a metric; without a value when there are too few images."""
    one, two = np.asarray(measured, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    protocol = f"{PROTOCOL.text}; {len(one)} measured against {len(two)} reference images"
    try:
        distance = frechet_distance(moments_of([one], one.shape[1]), moments_of([two], one.shape[1]))
    except TooFewVectorsError as error:
        return not_measured(PROTOCOL.name, PROTOCOL.unit, judge, protocol, str(error), len(one))
    return Metric(
        PROTOCOL.name, distance, len(one), None, PROTOCOL.unit, judge.name, judge.digest, protocol,
        PROTOCOL.higher_is_better,
    )  # fmt: skip
