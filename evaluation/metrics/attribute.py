"""Did the edit arrive: the share of outputs in which the judge sees the attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from evaluation.metrics.intervals import Bootstrap, Protocol, mean_metric
from evaluation.metrics.metric import Judge, Metric


def success_metric(
    probabilities: ArrayLike,
    subjects: Sequence[str],
    judge: Judge,
    bootstrap: Bootstrap,
    threshold: float = 0.5,
    part: str = "",
) -> Metric:
    """Return the share of N outputs whose probability of the attribute, or of its named part, reaches `threshold`."""
    seen = (np.asarray(probabilities, dtype=np.float64) >= threshold).astype(np.float64)
    name, what = (f"attribute_success_{part}", part) if part else ("attribute_success", "attribute")
    protocol = Protocol(name, "share", f"share of outputs with {what} probability ≥ {threshold:g}", True)
    return mean_metric(protocol, seen, subjects, judge, bootstrap)


def probability_metric(probabilities: ArrayLike, subjects: Sequence[str], judge: Judge, bootstrap: Bootstrap) -> Metric:
    """Return the mean probability of the attribute over N outputs."""
    protocol = Protocol("attribute_probability", "share", "mean probability of the attribute", True)
    return mean_metric(protocol, probabilities, subjects, judge, bootstrap)
