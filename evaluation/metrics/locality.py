"""How much changed where nothing should have: pixels outside a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import Bootstrap, Protocol, mean_metric, ratio_metric
from evaluation.metrics.metric import Judge, Metric

Floats = NDArray[np.float64]
PSNR_CAP_DB = 60.0
"""PSNR of identical images: above it, differences are below an 8-bit level anyway."""

POOLED = Protocol("psnr_outside", "dB", "PSNR of the squared error averaged over all outside pixels, cap 60 dB", True)
PER_IMAGE = Protocol("psnr_outside_mean", "dB", "mean over images of each image's PSNR outside, cap 60 dB", True)
LARGEST = Protocol("max_change_outside", "levels", "mean over images of the largest change outside", False)


@dataclass(frozen=True)
class OutsideError:
    """Per image: squared error summed over the masked values ([0,1] data), their count, the largest change (levels)."""

    squared: Floats
    count: Floats
    largest: Floats

    @property
    def psnr_db(self) -> Floats:
        """PSNR of each image in dB; NaN where the mask is empty."""
        return psnr(np.divide(self.squared, self.count, out=np.full_like(self.squared, np.nan), where=self.count > 0))


def psnr(mean_squared_error: ArrayLike) -> Floats:
    """Return −10·log10(mse) of data in [0,1], capped at 60 dB; NaN stays NaN."""
    floor = 10.0 ** (-PSNR_CAP_DB / 10.0)
    return np.asarray(-10.0 * np.log10(np.maximum(np.asarray(mean_squared_error, dtype=np.float64), floor)))


def masked_error(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> OutsideError:
    """Compare two sets of images where `mask` holds (everywhere without one).

    Shapes: N×H×W×3 uint8, N×H×W×3 uint8, N×H×W bool. Raises ValueError when shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"images to compare have shapes {a.shape} and {b.shape}")
    change = np.abs(a.astype(np.int16) - b.astype(np.int16))  # N×H×W×3, 8-bit levels
    inside = np.ones(a.shape[:3], dtype=bool) if mask is None else mask
    change *= inside[..., None]
    squared = np.square(change.astype(np.float64) / 255.0).sum(axis=(1, 2, 3))
    count = inside.sum(axis=(1, 2)).astype(np.float64) * a.shape[3]
    return OutsideError(squared, count, change.max(axis=(1, 2, 3)).astype(np.float64))


def locality_metrics(
    error: OutsideError, subjects: Sequence[str], judge: Judge, bootstrap: Bootstrap
) -> tuple[Metric, ...]:
    """Return the pooled PSNR (headline), the mean of per-image PSNRs and the mean largest change outside."""
    used = error.count > 0
    names = [subject for subject, keep in zip(subjects, used, strict=True) if keep]
    return (
        ratio_metric(POOLED, error.squared, error.count, subjects, judge, bootstrap, psnr),
        mean_metric(PER_IMAGE, error.psnr_db[used], names, judge, bootstrap),
        mean_metric(LARGEST, error.largest[used], names, judge, bootstrap),
    )
