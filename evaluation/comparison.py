"""Versions of one editor side by side: paired differences on the same images, and the slices that got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from evaluation.edit_report import EditReport
from evaluation.metrics.frechet import frechet_difference
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge, Metric
from evaluation.metrics.paired import Difference, paired_difference
from evaluation.metrics.subsampling import Subsampling
from evaluation.pixels import Images
from evaluation.sheet import Picture, error_image

MINIMUM_IMAGES = 20
FAMILY_ERROR = 0.05
DIFFER_MOST = 12
CHANGE_GAIN = 8
FRECHET = ("frechet_distance", "fid")
SLICED = ("attribute_success", "identity_cosine", "psnr_outside", "seam_ratio", "pose_change", "mae_counterfactual")
"""The measures whose slices are looked at: one for each thing that an edit can get wrong."""


@dataclass(frozen=True)
class Line:
    """One metric of every version, baseline first, and the differences of the others to it, in their order."""

    metrics: tuple[Metric, ...]
    differences: tuple[Difference, ...]

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metrics[0].name


@dataclass(frozen=True)
class SliceLoss:
    """One slice in which a version lost: `p_adjusted` is Holm's p of its difference among all looked at."""

    dimension: str
    label: str
    difference: Difference
    p_adjusted: float


@dataclass(frozen=True)
class SliceScan:
    """How many slice differences of a version were looked at, and those that are real losses."""

    looked_at: int
    lost: tuple[SliceLoss, ...]


@dataclass(frozen=True)
class PictureRow:
    """One held-out image (H×W×3): its input, every version's answer, and the truth where it is known."""

    name: str
    input: Picture
    answers: tuple[Picture, ...]
    truth: Picture | None
    change_levels: float
    """Largest mean absolute difference of an answer to the baseline's, in levels of 255."""

    @property
    def changes(self) -> tuple[Picture, ...]:
        """How far each version's answer is from the baseline's, enlarged CHANGE_GAIN times."""
        first, *others = self.answers
        return tuple(error_image(other, first, CHANGE_GAIN) for other in others)


@dataclass(frozen=True)
class Comparison:
    """Two or more versions; `labels[0]` is the baseline. Recorded numbers have neither slices nor pictures."""

    name: str
    labels: tuple[str, ...]
    lines: tuple[Line, ...]
    judges: tuple[Judge, ...] = ()
    scans: tuple[SliceScan, ...] = ()
    fixed: tuple[PictureRow, ...] = ()
    differing: tuple[PictureRow, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = False

    def line(self, name: str) -> Line:
        """The line of this metric; raises KeyError when there is none."""
        return {line.name: line for line in self.lines}[name]


def compare_reports(reports: Mapping[str, EditReport]) -> Comparison:
    """Compare reports by label, the first as the baseline.

    Raises ValueError with fewer than two, and for reports of different protocols or images: they are to be measured
    in one go.
    """
    labels, (baseline, *versions) = tuple(reports), tuple(reports.values())
    if not versions:
        raise ValueError("a comparison needs two reports or more")
    for version in versions:
        if (version.protocol, version.name, version.names) != (baseline.protocol, baseline.name, baseline.names):
            raise ValueError(f"{version.protocol} {version.name} was not measured on the images of {baseline.name}")
    changes = np.stack([_change_levels(version.outputs, baseline.outputs) for version in versions]).max(axis=0)
    fixed = range(min(baseline.config.sheet_rows, len(baseline.names)))
    everyone = (baseline, *versions)
    return Comparison(
        baseline.name,
        labels,
        tuple(_lines(baseline, versions)),
        baseline.judges,
        tuple(scan_slices(version, baseline) for version in versions),
        tuple(_picture_row(everyone, index, changes) for index in fixed),
        tuple(_picture_row(everyone, index, changes) for index in most_changed(changes)),
        _facts(baseline, changes),
    )


def scan_slices(version: EditReport, baseline: EditReport, names: Sequence[str] = SLICED) -> SliceScan:
    """Find the slices of at least 20 images in which a version is worse, by Holm's correction over all looked at.

    A slice is lost when its paired interval leaves out zero on the worse side and its p, of the bootstrap's spread
    taken as normal, stays below 5 % after Holm (Scand. J. Statist. 6, 1979).
    """
    measures = {m.name: m for m in version.rows[0].measures if m.name in names}
    found = [
        (dimension, label, difference)
        for dimension, labels in baseline.slices.items()
        for label in sorted(set(labels) - {""})
        for measure in measures.values()
        if (difference := _in_slice(measure, baseline, np.array(labels) == label)) is not None
    ]
    adjusted = holm([p_value(difference) for _, _, difference in found])
    lost = [
        SliceLoss(*one, float(p))
        for one, p in zip(found, adjusted, strict=True)
        if one[2].better is False and p < FAMILY_ERROR
    ]
    return SliceScan(len(found), tuple(sorted(lost, key=lambda loss: (loss.p_adjusted, loss.dimension, loss.label))))


def p_value(difference: Difference) -> float:
    """Two-sided p of a difference being zero, taking its interval's width for that of a normal distribution."""
    if difference.value is None or difference.interval is None:
        return 1.0
    ends = difference.interval
    deviation = (ends.high - ends.low) / (2.0 * NormalDist().inv_cdf(0.5 + ends.level / 2.0))
    if deviation == 0:
        return 1.0 if difference.value == 0 else 0.0
    return 2.0 * NormalDist().cdf(-abs(difference.value) / deviation)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjusted p of each of N hypotheses, in the order given: N → N."""
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    steps = raw[order] * (len(raw) - np.arange(len(raw)))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def most_changed(changes: NDArray[np.float64], count: int = DIFFER_MOST) -> list[int]:
    """The indices of the `count` images (N) whose answers differ most; those that do not differ are left out."""
    return [int(index) for index in np.argsort(-changes, kind="stable")[:count] if changes[index] > 0]


def _lines(baseline: EditReport, versions: Sequence[EditReport]) -> list[Line]:
    """The measures of each image with paired differences, then the figures of whole sets."""
    own = baseline.rows[0]
    everyone = (baseline, *versions)
    lines = [
        Line(tuple(r.rows[0].metric(m.name) for r in everyone), tuple(_paired(v, baseline, m) for v in versions))
        for m in own.measures
    ]
    for metric in own.sets:
        values = tuple(r.rows[0].metric(metric.name) for r in everyone)
        lines.append(Line(values, tuple(_of_sets(v, baseline, metric) for v in versions)))
    return lines


def _paired(version: EditReport, baseline: EditReport, measure: Measure) -> Difference:
    row = baseline.rows[0]
    return paired_difference(version.rows[0].measure(measure.name), measure, row.subjects, row.bootstrap)


def _in_slice(measure: Measure, baseline: EditReport, keep: NDArray[np.bool_]) -> Difference | None:
    """The paired difference within a slice; None when too few of its images count for both versions."""
    row = baseline.rows[0]
    other = row.measure(measure.name)
    if np.count_nonzero(keep & (measure.denominators > 0) & (other.denominators > 0)) < MINIMUM_IMAGES:
        return None
    return paired_difference(measure, other, row.subjects, row.bootstrap, keep)


def _of_sets(version: EditReport, baseline: EditReport, metric: Metric) -> Difference:
    """The difference of two sets' figures; only the Fréchet distance has one that pairs the images."""
    judge, other = Judge(metric.judge, metric.judge_digest), version.rows[0].metric(metric.name)
    if other.value is None or metric.value is None:
        return without_difference(metric, other.note or metric.note)
    if (other.judge, other.judge_digest) != (metric.judge, metric.judge_digest):
        return without_difference(metric, "not comparable: different judges")
    if metric.name not in FRECHET:
        return without_difference(metric, "a figure of the whole set: values only")
    return frechet_difference(
        version.features, baseline.features, baseline.reference_features, baseline.subjects, judge,
        Subsampling(seed=baseline.config.seed),
    )  # fmt: skip


def without_difference(metric: Metric, why: str) -> Difference:
    """The difference that is not given, and why."""
    judge = Judge(metric.judge, metric.judge_digest)
    return Difference(metric.name, None, None, 0, metric.unit, judge, metric.higher_is_better, why)


def _change_levels(outputs: Images, others: Images) -> NDArray[np.float64]:
    """Mean absolute difference of each image in levels: two of N×H×W×3 → N."""
    return np.array([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(outputs, others, strict=True)])


def _picture_row(reports: Sequence[EditReport], index: int, changes: NDArray[np.float64]) -> PictureRow:
    first = reports[0]
    truth = None if first.truth is None else first.truth[index]
    answers = tuple(report.outputs[index] for report in reports)
    return PictureRow(first.names[index], first.inputs[index], answers, truth, float(changes[index]))


def _facts(baseline: EditReport, changes: NDArray[np.float64]) -> dict[str, str]:
    return {
        "Held-out images": str(len(baseline.names)),
        "Subjects": str(len(set(baseline.subjects))),
        "Answers that differ": f"{int(np.count_nonzero(changes))} of {len(changes)}",
    }
