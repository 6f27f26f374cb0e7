"""How far an edit is from the true answer, which only a renderer knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.intervals import Protocol
from evaluation.metrics.locality import masked_error, psnr
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge

Images = NDArray[np.uint8]
PSNR = Protocol("psnr_counterfactual", "dB", "PSNR of the squared error pooled over all pixels, cap 60 dB", True)
MAE = Protocol("mae_counterfactual", "levels", "mean absolute difference over the image, 8-bit levels", False)
MAE_INSIDE = Protocol(
    "mae_counterfactual_inside", "levels", "mean absolute difference inside the changed region, 8-bit levels", False
)


def absolute_error(a: Images, b: Images, mask: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return each image's mean absolute difference (8-bit levels) where `mask` holds; NaN where it is empty.

    Shapes: N×H×W×3 uint8 twice, N×H×W bool → N.
    """
    change = np.abs(a.astype(np.int16) - b.astype(np.int16)).sum(axis=3).astype(np.float64)
    inside = np.ones(a.shape[:3], dtype=bool) if mask is None else mask
    area = inside.sum(axis=(1, 2)) * float(a.shape[3])
    total = (change * inside).sum(axis=(1, 2))
    means: NDArray[np.float64] = np.divide(total, area, out=np.full_like(total, np.nan), where=area > 0)
    return means


def counterfactual_measures(
    outputs: Images, truth: Images, inside: NDArray[np.bool_], judge: Judge
) -> tuple[Measure, ...]:
    """PSNR and mean absolute error of N×H×W×3 outputs against the truth, over all and `inside` the region (N×H×W).

    An image whose region is empty is left out of the last. Raises ValueError when shapes differ.
    """
    error = masked_error(outputs, truth)
    return (
        Measure(PSNR, judge, error.squared, error.count, psnr),
        Measure.of_values(MAE, judge, absolute_error(outputs, truth)),
        Measure.of_values(MAE_INSIDE, judge, absolute_error(outputs, truth, inside)),
    )
