"""How near a set of images is to a set of real ones: every such measure at once."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from evaluation.metrics.frechet import frechet_metric
from evaluation.metrics.kid import kid_metric
from evaluation.metrics.metric import Judge, Metric
from evaluation.metrics.precision_recall import precision_recall_metrics
from evaluation.metrics.subsampling import Subsampling


def set_metrics(
    features: ArrayLike, reference: ArrayLike, judge: Judge, subjects: Sequence[str], seed: int
) -> tuple[Metric, ...]:
    """Return Fréchet and kernel distance, precision and recall of N×F vectors against M×F of real images."""
    how = Subsampling(seed=seed)
    return (
        frechet_metric(features, reference, judge, subjects, how),
        kid_metric(features, reference, judge, subjects, how),
        *precision_recall_metrics(features, reference, judge, subjects, how),
    )
