"""Fréchet distance between two sets of feature vectors (Heusel et al., arXiv 1706.08500, eq. 6).

It is called FID only when its features are InceptionV3's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, eigh, eigvalsh
from scipy.linalg.blas import dsyrk

from data.errors import UserError
from evaluation.metrics.intervals import Protocol
from evaluation.metrics.metric import Interval, Judge, Metric, not_measured
from evaluation.metrics.paired import Difference
from evaluation.metrics.subsampling import Keep, Subsampling, subsampled_interval
from evaluation.metrics.vectors import require_same_length

Floats = NDArray[np.float64]
PROTOCOL = Protocol("frechet_distance", "distance", "features of judge, unbiased covariance, float64", False)
INCEPTION = "inception_v3"
"""The one judge whose distances are called FID."""
BLOCK_ROWS = 1024
MOST_DIMENSIONS = 512
"""Up to this many dimensions an interval is made: hundreds of distances of more would take minutes."""


@dataclass(frozen=True)
class Moments:
    """Count, mean (F) and unbiased covariance (F×F) of feature vectors."""

    count: int
    mean: Floats
    covariance: Floats


class TooFewVectorsError(UserError):
    """Fewer feature vectors than a covariance of full rank needs."""


class MomentsAccumulator:
    """Streams feature vectors into their moments in float64 (Chan et al. 1979, pairwise update).

    Of the scatter only the upper triangle is kept up to date, in place: no block costs another F×F matrix.
    """

    def __init__(self, dimensions: int) -> None:
        self._count = 0
        self._mean = np.zeros(dimensions, dtype=np.float64)
        self._scatter = np.zeros((dimensions, dimensions), dtype=np.float64, order="F")

    def update(self, features: ArrayLike) -> None:
        """Add a block of n×F vectors; raises UserError on NaN, infinity or a wrong width."""
        block = np.asarray(features, dtype=np.float64)
        _check_block(block, self._mean.size)
        n = block.shape[0]
        if n == 0:
            return
        block_mean = block.mean(axis=0)
        delta, total = block_mean - self._mean, self._count + n
        centred = np.empty((n + 1, delta.size))
        np.subtract(block, block_mean, out=centred[:n])
        centred[n] = delta * np.sqrt(self._count * n / total)  # how far the block's mean lies from the others'
        self._scatter = dsyrk(1.0, centred.T, beta=1.0, c=self._scatter, overwrite_c=True)
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
        covariance = self._scatter / (self._count - 1)
        covariance += np.triu(covariance, 1).T
        return Moments(self._count, self._mean.copy(), covariance)


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


def moments_of_file(path: Path, block_rows: int = BLOCK_ROWS) -> Moments:
    """Return the moments of the n×F floats of a .npy file, `block_rows` of them in memory at a time.

    Raises UserError for a file that is none, of another shape, or cut off.
    """
    try:
        with path.open("rb") as file:
            (rows, width), kind = _header(path, file)
            return moments_of(_blocks(path, file, rows, width, kind, block_rows), width)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.", "Save the features with numpy.save, n×F.") from None


def _header(path: Path, file: IO[bytes]) -> tuple[tuple[int, int], np.dtype[np.floating]]:
    """Shape and type of a .npy file's array; the file then stands at its first value."""
    try:
        read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, kind = read(file)
    except ValueError as error:
        raise UserError(f"{path} is no .npy file: {error}.", "Save the features with numpy.save, n×F.") from None
    if len(shape) != 2 or by_columns or kind.kind != "f":
        said = f"{path} must hold n×F floats row by row, but holds {kind} of shape {shape}"
        raise UserError(said + (" by columns." if by_columns else "."), "Save numpy.ascontiguousarray(features).")
    return shape, kind


def _blocks(
    path: Path, file: IO[bytes], rows: int, width: int, kind: np.dtype[np.floating], most: int
) -> Iterator[NDArray[np.floating]]:
    """Read, not mapped: a mapped file's pages count as this process's memory."""
    for start in range(0, rows, most):
        count = min(most, rows - start)
        block = np.fromfile(file, dtype=kind, count=count * width)
        if block.size != count * width:
            raise UserError(f"{path} ends before row {rows} of {rows}.", "It was cut off: write or copy it anew.")
        yield block.reshape(count, width)


def trace_of_root(a: Floats, b: Floats) -> float:
    """Return tr((A·B)^½) of two covariances F×F: the sum of the roots of the eigenvalues of A·B.

    With B = L·Lᵀ these are the eigenvalues of the symmetric Lᵀ·A·L: real, and not negative.
    """
    try:
        values = eigvalsh(a, b, type=2, check_finite=False)
    except LinAlgError:  # B has no Cholesky factor where a feature never varies; its eigenvectors give an L as well
        scales, vectors = eigh(b, driver="evd", check_finite=False)
        vectors *= np.sqrt(np.clip(scales, 0.0, None))
        values = eigvalsh(vectors.T @ (a @ vectors), overwrite_a=True, check_finite=False)
    return float(np.sqrt(np.clip(values, 0.0, None)).sum())


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return ‖μa − μb‖² + tr(Ca + Cb − 2·(Ca·Cb)^½), never below zero."""
    difference = a.mean - b.mean
    traces = float(np.trace(a.covariance) + np.trace(b.covariance))
    distance = float(difference @ difference) + traces - 2.0 * trace_of_root(a.covariance, b.covariance)
    return max(distance, 0.0)


def frechet_protocol(judge: Judge) -> Protocol:
    """Return what a distance of this judge's features says of itself: FID for InceptionV3 alone."""
    return replace(PROTOCOL, name="fid") if judge.name == INCEPTION else PROTOCOL


def frechet_metric(
    measured: ArrayLike,
    reference: ArrayLike,
    judge: Judge,
    subjects: Sequence[str] | None = None,
    subsampling: Subsampling | None = None,
) -> Metric:
    """Return the distance of n×F vectors to a reference of m×F as a metric; without a value for too few images.

    With the n images' `subjects` its interval is made by subsampling them, the reference staying as it is.
    """
    one, two = np.asarray(measured, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    base = frechet_protocol(judge)
    text = f"{base.text}; {len(one)} measured against {len(two)} reference images, biased by their numbers"
    try:
        fixed = moments_of([two], one.shape[1])
        value = frechet_distance(moments_of([one], one.shape[1]), fixed)
    except TooFewVectorsError as error:
        return not_measured(base.name, base.unit, judge, text, str(error), len(one))
    interval, note = None, ""
    if subjects is not None:
        how = subsampling or Subsampling()
        interval, note = _interval(value, _distance_of(one, fixed), subjects, one.shape[1], how)
    return Metric(
        base.name, value, len(one), interval, base.unit, judge.name, judge.digest, text, base.higher_is_better, note
    )


def frechet_difference(
    version: ArrayLike,
    baseline: ArrayLike,
    reference: ArrayLike,
    subjects: Sequence[str],
    judge: Judge,
    subsampling: Subsampling | None = None,
) -> Difference:
    """Return how much further from m×F reference vectors a version's n×F are than a baseline's of the same images.

    Each draw takes the same subjects for both. Without a value when there are too few images. Raises ValueError when
    the two are of different numbers of images.
    """
    one, two, fixed_vectors = (np.asarray(x, dtype=np.float64) for x in (version, baseline, reference))
    require_same_length("the features of version and baseline", one, two, subjects)
    base, width = frechet_protocol(judge), one.shape[1]
    try:
        fixed = moments_of([fixed_vectors], width)
        ours, theirs = (
            frechet_distance(moments_of([one], width), fixed),
            frechet_distance(moments_of([two], width), fixed),
        )
    except TooFewVectorsError as error:
        return Difference(base.name, None, None, len(one), base.unit, judge, base.higher_is_better, str(error))
    of_version, of_baseline, how = _distance_of(one, fixed), _distance_of(two, fixed), subsampling or Subsampling()
    interval, note = _interval(ours - theirs, lambda keep: of_version(keep) - of_baseline(keep), subjects, width, how)
    return Difference(base.name, ours - theirs, interval, len(one), base.unit, judge, base.higher_is_better, note)


def _interval(
    value: float, statistic: Callable[[Keep], float], subjects: Sequence[str], width: int, how: Subsampling
) -> tuple[Interval | None, str]:
    """The interval of distances of `width` features, or None and why there is none."""
    if width > MOST_DIMENSIONS:
        return None, f"no interval: {how.draws} more distances of {width} features would take too long"
    interval = subsampled_interval(value, statistic, subjects, width + 1, how)
    why = f"no interval: {how.share:.0%} of the subjects are too few, or hold no more than {width} images"
    return interval, "" if interval else why


def _distance_of(vectors: Floats, fixed: Moments) -> Callable[[Keep], float]:
    """The distance of those vectors that a mask keeps."""
    return lambda keep: frechet_distance(moments_of([vectors[keep]], vectors.shape[1]), fixed)
