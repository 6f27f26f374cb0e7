"""Did the edit arrive: the share of outputs in which the judge sees the attribute."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge
from evaluation.metrics.vectors import checked_values

PROBABILITY = Protocol("attribute_probability", "share", "mean probability of the attribute", True)


def success_measure(probabilities: ArrayLike, judge: Judge, threshold: float = 0.5, part: str | None = None) -> Measure:
    """Whether each of N outputs' probability of the attribute, or of its named part, reaches `threshold`.

    Raises UserError for NaN.
    """
    seen = checked_values(probabilities, "the attribute's probabilities") >= threshold
    name, what = (f"attribute_success_{part}", part) if part else ("attribute_success", "attribute")
    protocol = Protocol(name, "share", f"share of outputs with {what} probability ≥ {threshold:g}", True)
    return Measure.of_values(protocol, judge, seen.astype(np.float64))


def probability_measure(probabilities: ArrayLike, judge: Judge) -> Measure:
    """The probability of the attribute in each of N outputs; raises UserError for NaN."""
    return Measure.of_values(PROBABILITY, judge, checked_values(probabilities, "the attribute's probabilities"))
