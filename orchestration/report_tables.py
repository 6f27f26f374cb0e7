"""A report's record as tables for people: on the model card and on Dagster's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.metrics.metric import format_value
from orchestration.tracking.reports import ReportRecord

DASH = "–"
SLICE_TITLES = ("metric", "worst slice", "value [95 %]", "images")

Rows = Sequence[Sequence[str]]


def metric_rows(report: ReportRecord) -> Rows:
    """A line per metric that the measured row has: its value and interval, the sanity rows' values, the judge."""
    by_row = [{metric["name"]: metric for metric in row["metrics"]} for row in report.rows]
    return [
        (name, value_text(metric, interval=True), *(value_text(row.get(name)) for row in by_row[1:]), metric["judge"])
        for name, metric in by_row[0].items()
        if metric["value"] is not None
    ]


def unmeasured_rows(report: ReportRecord) -> Rows:
    """Name of each metric that the measured row lacks, and why."""
    return [(m["name"], m["note"]) for m in report.rows[0]["metrics"] if m["value"] is None]


def worst_slices(report: ReportRecord) -> Rows:
    """For each metric with a better end the slice furthest from it: metric, slice, value with interval, images."""
    worst: dict[str, Mapping[str, Any]] = {}
    for one in report.slices:
        metric = one["metric"]
        if metric["value"] is None or metric["higher_is_better"] is None:
            continue
        known = worst.get(metric["name"])
        if known is None or (metric["value"] < known["metric"]["value"]) == metric["higher_is_better"]:
            worst[metric["name"]] = one
    return [
        (name, f"{one['dimension']}: {one['label']}", value_text(one["metric"], interval=True), str(one["metric"]["n"]))
        for name, one in worst.items()
    ]


def value_text(metric: Mapping[str, Any] | None, *, interval: bool = False) -> str:
    """A metric's value as people read it, its interval behind it where wanted; a dash where there is none."""
    if metric is None or metric["value"] is None:
        return DASH
    text, ends = format_value(metric["value"], metric["unit"]), metric["interval"]
    if not interval or not ends:
        return text
    low, high = (format_value(ends[end], metric["unit"]).split(" ")[0].rstrip("°") for end in ("low", "high"))
    return f"{text} [{low}, {high}]"


def metric_titles(report: ReportRecord) -> list[str]:
    """The titles of `metric_rows`."""
    first, *others = (str(row["title"]) for row in report.rows)
    return ["metric", f"{first} [95 %]", *others, "judge"]


def table(rows: Sequence[Sequence[Any]], titles: Sequence[str]) -> str:
    """A Markdown table of rows under titles."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
