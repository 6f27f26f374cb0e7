"""Versions side by side by what their own reports recorded: subtracted only where the same was measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.comparison import Comparison, Line, without_difference
from evaluation.edit_report import EDITOR
from evaluation.metrics.metric import Interval, Judge, Metric
from evaluation.metrics.paired import Difference

NO_INTERVAL = "from two reports: no paired interval"


@dataclass(frozen=True)
class RecordedReport:
    """One version's recorded metrics, and a text that is equal for reports that measured the same images alike."""

    name: str
    metrics: Mapping[str, Metric]
    measured_on: str

    @classmethod
    def of(cls, record: Mapping[str, Any], name: str, measured_on: str) -> RecordedReport:
        """Read a report's metrics.json; raises KeyError or TypeError when it is none."""
        row = next(row for row in record["rows"] if row["key"] == EDITOR)
        metrics = (_metric(one) for one in row["metrics"])
        return cls(name, {metric.name: metric for metric in metrics}, measured_on)


def compare_recorded(reports: Mapping[str, RecordedReport]) -> Comparison:
    """Put recorded metrics beside each other by label, the baseline first; raises ValueError with fewer than two."""
    baseline, *versions = reports.values()
    if not versions:
        raise ValueError("a comparison needs two reports or more")
    lines = tuple(_line(metric, baseline, versions) for metric in baseline.metrics.values())
    return Comparison(baseline.name, tuple(reports), lines, recorded=True)


def _line(metric: Metric, baseline: RecordedReport, versions: list[RecordedReport]) -> Line:
    others = [version.metrics.get(metric.name, _absent(metric)) for version in versions]
    differences = (
        _difference(other, metric, version.measured_on == baseline.measured_on)
        for other, version in zip(others, versions, strict=True)
    )
    return Line((metric, *others), tuple(differences))


def _difference(metric: Metric, baseline: Metric, same_images: bool) -> Difference:
    """The plain difference, or why the two numbers are not comparable."""
    if metric.value is None or baseline.value is None:
        return without_difference(baseline, metric.note or baseline.note)
    if (metric.judge, metric.judge_digest) != (baseline.judge, baseline.judge_digest):
        judges = " and by ".join(f"{one.judge} {one.judge_digest[:8]}".strip() for one in (metric, baseline))
        return without_difference(baseline, f"not comparable: judged by {judges}")
    if not same_images:
        return without_difference(baseline, "not comparable: other held-out images, settings or code")
    if metric.protocol != baseline.protocol:
        return without_difference(baseline, "not comparable: another protocol")
    judge, value = Judge(baseline.judge, baseline.judge_digest), metric.value - baseline.value
    return Difference(
        metric.name, value, None, metric.n, metric.unit, judge, metric.higher_is_better, NO_INTERVAL
    )  # fmt: skip


def _absent(metric: Metric) -> Metric:
    return Metric(
        metric.name, None, 0, None, metric.unit, metric.judge, metric.judge_digest, metric.protocol,
        metric.higher_is_better, "this version's report did not measure it",
    )  # fmt: skip


def _metric(record: Mapping[str, Any]) -> Metric:
    interval = record["interval"]
    return Metric(**{**record, "interval": None if interval is None else Interval(**interval)})
