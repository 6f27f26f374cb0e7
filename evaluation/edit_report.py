"""A report of edited images, whatever made them: rows of measures, slices, the worst images and the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge, Metric
from evaluation.pixels import Images
from evaluation.sheet import Picture

Floats = NDArray[np.float64]
Slices = Mapping[str, tuple[str, ...]]
"""Dimension → a label per image (N); "" where it is not known."""
EDITOR, NOTHING, TRUTH = "editor", "did_nothing", "true_counterfactual"


@dataclass(frozen=True)
class ReportConfig:
    """How a report is made: images at a time, intervals, the seed of every draw, and how much is shown.

    A slice is looked at from `slice_images` images on; `worst_images` are drawn and listed.
    """

    batch_size: int = 64
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    seed: int = 0
    sheet_rows: int = 8
    slice_images: int = 20
    worst_images: int = 12


@dataclass(frozen=True)
class ReportRow:
    """One way to answer (what is measured, or a sanity row): measures per image (N each) and metrics of the set."""

    key: str
    title: str
    measures: tuple[Measure, ...]
    sets: tuple[Metric, ...]
    subjects: tuple[str, ...]
    bootstrap: Bootstrap

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric, those of single images first, each computed once."""
        return (*(one.metric(self.subjects, self.bootstrap) for one in self.measures), *self.sets)

    def metric(self, name: str) -> Metric:
        """Return the metric of this name; raises KeyError when the row has none."""
        return {metric.name: metric for metric in self.metrics}[name]

    def measure(self, name: str) -> Measure:
        """Return the measure of this name; raises KeyError when the row has none."""
        return {measure.name: measure for measure in self.measures}[name]


@dataclass(frozen=True)
class Words:
    """What a report's page says besides its numbers: title, a sentence, facts, and how to read the rows."""

    title: str
    lead: str
    facts: Mapping[str, str]
    reading: tuple[str, ...]


@dataclass(frozen=True)
class EditReport:
    """Everything measured about N edited images of one protocol; `rows[0]` is what is measured.

    `names` are the images' hashes or files, as `named_by` says; `features` N×F of the outputs, `reference_features`
    M×F of real images. `worst` are the indices of the worst images, worst first. `headline` names the metrics that are
    shown first.
    """

    protocol: str
    name: str
    size_px: int
    rows: tuple[ReportRow, ...]
    judges: tuple[Judge, ...]
    subjects: tuple[str, ...]
    names: tuple[str, ...]
    inputs: Images
    outputs: Images
    features: Floats
    reference_features: Floats
    slices: Slices
    config: ReportConfig
    sheet: Picture
    strip: Picture
    worst: tuple[int, ...]
    worst_sheet: Picture
    words: Words
    headline: tuple[str, ...]
    truth: Images | None = None
    beside: tuple[Metric, ...] = ()
    """Metrics that belong to no row, like the cosines of the same and of other subjects."""
    named_by: Literal["image", "sha256"] = "image"
    sources: tuple[str, ...] = ()
    """Where each image comes from (N), when its name does not say."""

    def __len__(self) -> int:
        return len(self.outputs)

    def row(self, key: str) -> ReportRow:
        """Return the row of this key; raises KeyError when the report has none."""
        return {row.key: row for row in self.rows}[key]

    def values(self) -> dict[str, float]:
        """Return every measured value by `row/metric`."""
        pairs = ((f"{row.key}/{metric.name}", metric.value) for row in self.rows for metric in row.metrics)
        return {name: value for name, value in pairs if value is not None}


def worst_order(row: ReportRow, keys: Sequence[str]) -> NDArray[np.int64]:
    """Return the row's images from the worst to the best: by the first measure of `keys`, its ties by the next.

    A measure without a better end, or that the row lacks, is passed over; an image without a value comes last.
    """
    known = {measure.name: measure for measure in row.measures}
    columns = []
    for measure in (known[key] for key in keys if key in known and known[key].protocol.higher_is_better is not None):
        badness = -measure.values if measure.protocol.higher_is_better else measure.values
        columns.append(np.where(np.isnan(badness), np.inf, -badness))
    if not columns:
        return np.arange(len(row.subjects))
    return np.asarray(np.lexsort(columns[::-1]), dtype=np.int64)
