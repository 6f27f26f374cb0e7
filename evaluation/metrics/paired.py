"""Paired differences: two versions on the same images, so that what the images share cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.intervals import Bootstrap, cluster_ids, percentile_interval, resampled_ratios
from evaluation.metrics.measure import Floats, Keep, Measure
from evaluation.metrics.metric import Interval, Judge

METHOD = "paired expanded percentile bootstrap clustered by subject"


@dataclass(frozen=True)
class Difference:
    """How far one version's metric lies above a baseline's, both measured on the same images by the same judge.

    `value` is None, and `note` says why, when the two cannot be compared.
    """

    metric: str
    value: float | None
    interval: Interval | None
    n: int
    unit: str
    judge: Judge
    higher_is_better: bool | None
    note: str = ""

    @property
    def real(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)

    @property
    def better(self) -> bool | None:
        """True for a real improvement, False for a real loss, None when undecided or without a better end."""
        if not self.real or self.higher_is_better is None or self.interval is None:
            return None
        return (self.interval.low > 0) == self.higher_is_better

    @property
    def loss_at_worst(self) -> float | None:
        """How much worse the version may be, by the interval's worse end, in the metric's unit; None if unknown."""
        if self.interval is None or self.higher_is_better is None:
            return None
        return -self.interval.low if self.higher_is_better else self.interval.high


def paired_difference(
    version: Measure, baseline: Measure, subjects: Sequence[str], bootstrap: Bootstrap, keep: Keep | None = None
) -> Difference:
    """Return version − baseline over N images (those of `keep`), resampling whole subjects for both at once.

    Images that either of the two leaves out count for neither. Raises ValueError when the two measure different
    things or different numbers of images; different judges give a difference without a value.
    """
    if version.name != baseline.name or len(version.numerators) != len(baseline.numerators):
        raise ValueError(f"{version.name} and {baseline.name} are not one measure of the same images")
    if version.judge != baseline.judge:
        return incomparable(version, baseline)
    used = (version.denominators > 0) & (baseline.denominators > 0)
    used &= np.ones_like(used) if keep is None else keep
    names = [subject for subject, kept in zip(subjects, used, strict=True) if kept]
    if not names:
        return _without_value(version, "there was nothing to measure on")
    ids = cluster_ids(names)
    value = _level(version, used) - _level(baseline, used)
    interval = None
    if ids.max() > 0:
        draws = _resampled(version, used, ids, bootstrap) - _resampled(baseline, used, ids, bootstrap)
        interval = percentile_interval(draws, bootstrap, METHOD, int(ids.max()) + 1)
    protocol = version.protocol
    return Difference(
        version.name, value, interval, len(names), protocol.unit, version.judge, protocol.higher_is_better
    )


def incomparable(version: Measure, baseline: Measure) -> Difference:
    """The difference that says that two judges' numbers are never compared."""
    one, two = (f"{judge.name} {judge.digest[:8]}".strip() for judge in (version.judge, baseline.judge))
    return _without_value(version, f"not comparable: judged by {one} and by {two}")


def _without_value(version: Measure, why: str) -> Difference:
    protocol = version.protocol
    return Difference(version.name, None, None, 0, protocol.unit, version.judge, protocol.higher_is_better, why)


def _level(measure: Measure, used: Keep) -> float:
    ratio = np.array([measure.numerators[used].sum() / measure.denominators[used].sum()])
    return float((ratio if measure.transform is None else measure.transform(ratio))[0])


def _resampled(measure: Measure, used: Keep, ids: NDArray[np.int64], boot: Bootstrap) -> Floats:
    """The metric of each resample; the same seed draws the same subjects for both versions."""
    ratios = resampled_ratios(measure.numerators[used], measure.denominators[used], ids, boot)
    return ratios if measure.transform is None else np.asarray(measure.transform(ratios), dtype=np.float64)
