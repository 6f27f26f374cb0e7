"""The report of an attribute editor: its measures on held-out faces, beside rows of floor, ceiling and cheats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.attribute_names import parts_of
from data.categories import regions_of
from evaluation.held_out import HeldOut, Masks, dilate
from evaluation.metrics.attribute import probability_metric, success_metric
from evaluation.metrics.counterfactual import absolute_error, counterfactual_metrics
from evaluation.metrics.frechet import PROTOCOL as FRECHET
from evaluation.metrics.frechet import frechet_metric
from evaluation.metrics.identity import cosines, identity_metric, other_subject_indices
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.locality import OutsideError, locality_metrics, masked_error
from evaluation.metrics.metric import RENDERER, Judge, Metric, not_measured
from evaluation.metrics.pose import pose_error_deg, pose_metrics
from evaluation.panel import Panel, Seen, feature_vectors, judge_of, look, region_masks
from evaluation.pixels import ImageFunction, Images, apply_in_batches
from evaluation.sheet import Picture, edit_sheet

EDITOR, NOTHING, TRUTH, STRANGER = "editor", "did_nothing", "true_counterfactual", "another_face"
TITLES: Mapping[str, str] = {
    EDITOR: "editor",
    NOTHING: "did nothing",
    TRUTH: "true counterfactual",
    STRANGER: "another person's face",
}
STRIP_ROWS = 3
PerImage = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class AttributeReportConfig:
    """How a report is measured: `threshold` is the probability from which an attribute counts as there."""

    threshold: float = 0.5
    batch_size: int = 64
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    seed: int = 0
    sheet_rows: int = 8


@dataclass(frozen=True)
class ReportRow:
    """One way to answer (the editor, or a sanity row), its metrics, and its measures per image (N each)."""

    key: str
    metrics: tuple[Metric, ...]
    per_image: PerImage

    @property
    def title(self) -> str:
        """The row's name for people."""
        return TITLES[self.key]

    def metric(self, name: str) -> Metric:
        """Return the metric of this name; raises KeyError when the row has none."""
        return {metric.name: metric for metric in self.metrics}[name]


@dataclass(frozen=True)
class AttributeReport:
    """Everything measured about one editor of one attribute, its contact sheet, and the sheet's first rows."""

    attribute: str
    held_out: HeldOut
    rows: tuple[ReportRow, ...]
    judges: tuple[Judge, ...]
    config: AttributeReportConfig
    sheet: Picture
    strip: Picture

    def row(self, key: str) -> ReportRow:
        """Return the row of this key; raises KeyError when the report has none."""
        return {row.key: row for row in self.rows}[key]

    def headline(self) -> dict[str, float]:
        """Return every measured value by `row/metric`, as a tracking server takes them."""
        pairs = ((f"{row.key}/{metric.name}", metric.value) for row in self.rows for metric in row.metrics)
        return {name: value for name, value in pairs if value is not None}


@dataclass(frozen=True)
class _Bench:
    """What every row is measured against, computed once."""

    panel: Panel
    held_out: HeldOut
    config: AttributeReportConfig
    before: Seen
    reference_features: NDArray[np.float64]


def evaluate_attribute_editor(
    editor: ImageFunction, panel: Panel, held_out: HeldOut, config: AttributeReportConfig | None = None
) -> AttributeReport:
    """Measure an editor (N×3×H×W in [-1, 1] → the same) on held-out faces, with the sanity rows beside it."""
    config = config or AttributeReportConfig()
    attribute, inputs = held_out.attribute, held_out.inputs
    reference = feature_vectors(panel.features, held_out.reference.images, config.batch_size, panel.device)
    bench = _Bench(panel, held_out, config, look(panel, inputs, attribute, config.batch_size), reference)
    edits = apply_in_batches(editor, inputs, config.batch_size, panel.device)
    rows = tuple(_measure(bench, key, outputs) for key, outputs in _answers(held_out, edits, config.seed))
    pictures = (_sheet(held_out, edits, count) for count in (config.sheet_rows, STRIP_ROWS))
    return AttributeReport(attribute, held_out, rows, panel.judges, config, *pictures)


def _answers(held_out: HeldOut, edits: Images, seed: int) -> list[tuple[str, Images]]:
    """The editor's answers, then those that need no editor."""
    answers = [(EDITOR, edits), (NOTHING, held_out.inputs)]
    if held_out.counterfactuals is not None:
        answers.append((TRUTH, held_out.counterfactuals))
    subjects, reference = held_out.subjects, held_out.reference
    if len(set(reference.subjects)) > 1:
        answers.append((STRANGER, reference.images[other_subject_indices(subjects, reference.subjects, seed)]))
    elif len(set(subjects)) > 1:
        answers.append((STRANGER, held_out.inputs[other_subject_indices(subjects, subjects, seed)]))
    return answers


def _measure(bench: _Bench, key: str, outputs: Images) -> ReportRow:
    """All metrics of one row, and its measures per image."""
    panel, held_out, config = bench.panel, bench.held_out, bench.config
    subjects, boot, before = held_out.subjects, config.bootstrap, bench.before
    after = look(panel, outputs, held_out.attribute, config.batch_size)
    outside, region_judge = _outside(bench, outputs)
    error = masked_error(outputs, held_out.inputs, outside)
    metrics = [
        success_metric(after.probabilities, subjects, judge_of(panel.attribute), boot, config.threshold),
        *_success_of_parts(bench, after),
        probability_metric(after.probabilities, subjects, judge_of(panel.attribute), boot),
        identity_metric(before.identities, after.identities, subjects, judge_of(panel.identity), boot),
        *locality_metrics(error, subjects, region_judge, boot),
        *pose_metrics(before.angles_deg, after.angles_deg, subjects, judge_of(panel.pose), boot),
        _frechet(bench, key, after),
    ]
    if held_out.counterfactuals is not None:
        truth = held_out.counterfactuals
        metrics += counterfactual_metrics(outputs, truth, ~outside, subjects, RENDERER, boot)
    return ReportRow(key, tuple(metrics), _per_image(bench, outputs, after, error, ~outside))


def _success_of_parts(bench: _Bench, after: Seen) -> list[Metric]:
    """What became of each part of a combined attribute; nothing for a single one."""
    held_out, config, judge = bench.held_out, bench.config, judge_of(bench.panel.attribute)
    parts = parts_of(held_out.attribute)
    columns = zip(parts, after.part_probabilities.T, strict=True) if len(parts) > 1 else ()
    return [
        success_metric(column, held_out.subjects, judge, config.bootstrap, config.threshold, part)
        for part, column in columns
    ]


def _outside(bench: _Bench, outputs: Images) -> tuple[Masks, Judge]:
    """Where nothing may change: by the renderer, or else beyond the region the parser sees before and after."""
    held_out = bench.held_out
    if held_out.outside is not None:
        return held_out.outside, RENDERER
    regions, size = regions_of(held_out.attribute, held_out.category), bench.config.batch_size
    panel = bench.panel
    seen = region_masks(panel, held_out.inputs, regions, size) | region_masks(panel, outputs, regions, size)
    return ~dilate(seen, 1), judge_of(panel.parser)


def _frechet(bench: _Bench, key: str, after: Seen) -> Metric:
    judge, reference = judge_of(bench.panel.features), bench.reference_features
    if key == STRANGER:
        why = "the row is drawn from the reference images themselves"
        return not_measured(FRECHET.name, FRECHET.unit, judge, FRECHET.text, why)
    if not len(reference):
        why = "no test-split image has the attribute"
        return not_measured(FRECHET.name, FRECHET.unit, judge, FRECHET.text, why)
    return frechet_metric(after.features, reference, judge)


def _per_image(bench: _Bench, outputs: Images, after: Seen, error: OutsideError, inside: Masks) -> PerImage:
    """The measures of each image (N each) that comparisons and worst cases are made from."""
    before, truth = bench.before, bench.held_out.counterfactuals
    columns = {
        "probability": after.probabilities,
        "identity_cosine": cosines(before.identities, after.identities),
        "squared_error_outside": error.squared,
        "values_outside": error.count,
        "psnr_outside": error.psnr_db,
        "max_change_outside": error.largest,
        "pose_change": pose_error_deg(before.angles_deg, after.angles_deg),
    }
    if truth is not None:
        columns["squared_error_counterfactual"] = masked_error(outputs, truth).squared
        columns["mae_counterfactual"] = absolute_error(outputs, truth)
        columns["mae_counterfactual_inside"] = absolute_error(outputs, truth, inside)
    return columns


def _sheet(held_out: HeldOut, edits: Images, rows: int) -> Picture:
    truth = None if held_out.counterfactuals is None else held_out.counterfactuals[:rows]
    title = held_out.attribute.replace("_", " ")
    about = f"held-out {held_out.category}s, never trained on"
    return edit_sheet(held_out.inputs[:rows], edits[:rows], truth, title, about)


def worst_images(report: AttributeReport, column: str, count: int, *, largest: bool = True) -> Sequence[int]:
    """Return the indices of the editor's `count` worst images by a per-image measure."""
    values = report.row(EDITOR).per_image[column]
    order = np.argsort(-values if largest else values, kind="stable")
    return [int(index) for index in order[:count]]
