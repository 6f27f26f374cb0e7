"""How much changed where nothing should have: pixels outside a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity

from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure, Remark
from evaluation.metrics.metric import Judge

Floats = NDArray[np.float64]
Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
PSNR_CAP_DB = 60.0
"""PSNR of identical images: above it, differences are below an 8-bit level anyway."""

POOLED = Protocol("psnr_outside", "dB", "PSNR of the squared error averaged over all outside pixels, cap 60 dB", True)
PER_IMAGE = Protocol("psnr_outside_mean", "dB", "mean over images of each image's PSNR outside, cap 60 dB", True)
LARGEST = Protocol("max_change_outside", "levels", "mean over images of the largest change outside", False)
SSIM = Protocol(
    "ssim_outside", "similarity",
    "mean over images of SSIM's map over outside pixels (Gaussian window, sigma 1.5, mean of the colours); what is "
    "inside is the input's in both pictures",
    True,
)  # fmt: skip
SSIM_WINDOW_PX = 11


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


def ssim_outside(before: Images, after: Images, outside: Masks) -> Floats:
    """Return each image's SSIM outside (Wang et al. 2004); NaN where the mask is empty or the image below 11 px.

    Shapes: N×H×W×3 uint8 twice, N×H×W bool → N. Windows that cross the mask see the input's pixels inside it, so that
    a change that was allowed does not count in its neighbours.
    """
    if min(before.shape[1:3]) < SSIM_WINDOW_PX:
        return np.full(len(before), np.nan)
    shown = np.where(outside[..., None], after, before)
    return np.array([_ssim(*one) for one in zip(before, shown, outside, strict=True)], dtype=np.float64)


def _ssim(before: Images, after: Images, outside: Masks) -> float:
    """SSIM of one image H×W×3 where its mask H×W holds."""
    if not outside.any():
        return float("nan")
    if np.array_equal(before, after):
        return 1.0
    _, per_pixel = structural_similarity(  # type: ignore[no-untyped-call]
        before, after, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        full=True,
    )  # fmt: skip
    return float(per_pixel.mean(axis=2)[outside].mean())


def error_measures(error: OutsideError, judge: Judge) -> tuple[Measure, ...]:
    """The pooled PSNR (headline), each image's own PSNR and the largest change outside, of an error at hand."""
    largest = np.where(error.count > 0, error.largest, np.nan)
    return (
        Measure(POOLED, judge, error.squared, error.count, psnr),
        Measure.of_values(PER_IMAGE, judge, error.psnr_db),
        Measure.of_values(LARGEST, judge, largest),
    )


def locality_measures(before: Images, after: Images, outside: Masks, judge: Judge) -> tuple[Measure, ...]:
    """What changed outside: pooled PSNR (headline), PSNR per image, SSIM, largest change.

    Shapes: N×H×W×3 uint8 twice, N×H×W bool. An image without an outside does not count. Raises ValueError when shapes
    differ.
    """
    if outside.shape != before.shape[:3]:
        raise ValueError(f"images {before.shape} and masks {outside.shape} do not belong together")
    pooled, mean, largest = error_measures(masked_error(after, before, outside), judge)
    values = ssim_outside(before, after, outside)
    small = np.full(len(before), min(before.shape[1:3]) < SSIM_WINDOW_PX)
    remark = Remark(small, f"smaller than SSIM's window of {SSIM_WINDOW_PX} px")
    return pooled, mean, Measure.of_values(SSIM, judge, values, remark), largest
