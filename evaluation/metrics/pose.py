"""Did the head turn: differences of yaw, pitch and roll in degrees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import Bootstrap, Protocol, mean_metric
from evaluation.metrics.metric import Judge, Metric

Floats = NDArray[np.float64]
AXES = ("yaw", "pitch", "roll")
CHANGE = Protocol("pose_change", "degrees", "mean L2 of the change in yaw, pitch and roll, output against input", False)


def pose_difference_deg(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return b − a per axis in (−180, 180]; shapes N×3, N×3 → N×3."""
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    return np.asarray(180.0 - np.mod(180.0 - difference, 360.0))


def pose_error_deg(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the L2 norm of the pose difference of each image; shapes N×3, N×3 → N."""
    return np.asarray(np.linalg.norm(pose_difference_deg(a, b), axis=1))


def pose_metrics(
    inputs: ArrayLike, outputs: ArrayLike, subjects: Sequence[str], judge: Judge, bootstrap: Bootstrap
) -> tuple[Metric, ...]:
    """Return the mean L2 pose change and the mean absolute change of each axis."""
    per_axis = np.abs(pose_difference_deg(inputs, outputs))
    axes = tuple(
        mean_metric(
            Protocol(f"pose_change_{axis}", "degrees", f"mean absolute change of {axis}, output against input", False),
            per_axis[:, i], subjects, judge, bootstrap,
        )
        for i, axis in enumerate(AXES)
    )  # fmt: skip
    return (mean_metric(CHANGE, pose_error_deg(inputs, outputs), subjects, judge, bootstrap), *axes)
