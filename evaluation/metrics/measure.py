"""A measure kept image by image: from it come the metric, its slices, the worst images and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import Bootstrap, Protocol, Transform, ratio_metric
from evaluation.metrics.metric import Judge, Metric
from evaluation.metrics.vectors import require_same_length

Floats = NDArray[np.float64]
Keep = NDArray[np.bool_]


@dataclass(frozen=True)
class Remark:
    """Images that a reader of the metric must know of, N, and what there is to say of them."""

    marks: Keep
    text: str

    def note(self, keep: Keep) -> str:
        """The sentence about the marked images among those of `keep`; empty when there is none."""
        count = int(np.count_nonzero(self.marks & keep))
        return f"{count} of {int(np.count_nonzero(keep))} images: {self.text}" if count else ""


@dataclass(frozen=True)
class Measure:
    """What one protocol gives for N images: the metric is transform(Σ numerators / Σ denominators).

    `numerators` and `denominators` are N; a denominator of 0 leaves its image out. What `remarks` say of images that
    count goes into the metric's note. Raises ValueError when lengths differ.
    """

    protocol: Protocol
    judge: Judge
    numerators: Floats
    denominators: Floats
    transform: Transform | None = None
    remarks: tuple[Remark, ...] = ()

    def __post_init__(self) -> None:
        marks = (remark.marks for remark in self.remarks)
        require_same_length(f"the parts of {self.name}", self.numerators, self.denominators, *marks)

    @classmethod
    def of_values(cls, protocol: Protocol, judge: Judge, values: ArrayLike, *remarks: Remark) -> Measure:
        """The mean over images of `values` (N); an image whose value is NaN does not count."""
        array = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(array)
        return cls(protocol, judge, np.where(known, array, 0.0), known.astype(np.float64), remarks=remarks)

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.protocol.name

    @property
    def values(self) -> Floats:
        """Each image's own value, N; NaN where it does not count."""
        known = self.denominators > 0
        ratios = np.divide(self.numerators, self.denominators, out=np.full_like(self.numerators, np.nan), where=known)
        return ratios if self.transform is None else np.asarray(self.transform(ratios), dtype=np.float64)

    def metric(self, subjects: Sequence[str], bootstrap: Bootstrap, keep: Keep | None = None) -> Metric:
        """The metric over all images, or over those that `keep` (N) marks, with its interval clustered by subject."""
        chosen = np.ones(len(self.numerators), dtype=bool) if keep is None else keep
        names = [subject for subject, used in zip(subjects, chosen, strict=True) if used]
        parts = self.numerators[chosen], self.denominators[chosen]
        metric = ratio_metric(self.protocol, *parts, names, self.judge, bootstrap, self.transform)
        notes = (metric.note, *(remark.note(chosen) for remark in self.remarks))
        return replace(metric, note="; ".join(note for note in notes if note))
