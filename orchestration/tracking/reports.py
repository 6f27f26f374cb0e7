"""A report's payload in MLflow: metrics by judge, tables for the Evaluation view, the held-out set, the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.manifest import dataset_root
from orchestration.tracking.run_log import RunLog

METRICS, PER_IMAGE, PAGE = "metrics.json", "per_image.parquet", "report.html"
REPORT_FOLDER = "report"
METRICS_TABLE, SLICES_TABLE, IMAGES_TABLE = "metrics_table.json", "slices_table.json", "per_image_table.json"
_FACTS = ("value", "n", "unit", "judge", "judge_digest", "protocol", "higher_is_better", "note")


@dataclass(frozen=True)
class ReportRecord:
    """What a report's metrics.json says: `rows` as they stand there, the first one being what was measured."""

    facts: Mapping[str, Any]

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Key, title and metrics of each row."""
        rows: Sequence[Mapping[str, Any]] = self.facts["rows"]
        return rows

    @property
    def measured(self) -> str:
        """The key of the row that was measured; the others are sanity rows."""
        return str(self.rows[0]["key"])

    @property
    def metrics(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Every metric with its row."""
        return ((row, metric) for row in self.rows for metric in row["metrics"])

    @property
    def slices(self) -> Sequence[Mapping[str, Any]]:
        """Dimension, label and metric of each slice; none in a report that does not slice."""
        slices: Sequence[Mapping[str, Any]] = self.facts.get("slices", ())
        return slices


def read_report(payload: Path) -> ReportRecord | None:
    """The record of a payload that is a report, else None."""
    path = payload / METRICS
    return read_record(path) if path.is_file() else None


def read_record(path: Path) -> ReportRecord | None:
    """What a metrics.json says, None when it is of another kind."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    return ReportRecord(facts) if facts.get("rows") else None


def publish_report(run: RunLog, payload: Path, name: str, source: str, at_ms: int) -> None:
    """Log a report's numbers, tables, held-out set and files; nothing when `payload` is no report. May be told twice.

    Metrics are `name/judge` for what was measured and `row/name/judge` for the sanity rows, each with `…/low` and
    `…/high` where it has an interval. `name` is the report's id, `source` the place of
    the images it measured on, `at_ms` the time it was made at.
    """
    record = read_report(payload)
    if record is None:
        return
    run.metrics(metric_values(record), at_ms=at_ms)
    run.table(METRICS_TABLE, _columns([_line(row, metric) for row, metric in record.metrics]))
    if record.slices:
        run.table(SLICES_TABLE, _columns([_slice_line(one) for one in record.slices]))
    if (payload / PER_IMAGE).is_file():
        _publish_images(run, payload / PER_IMAGE, record.measured, name, source)
    run.artifact(payload, REPORT_FOLDER)


def metric_values(record: ReportRecord) -> dict[str, float]:
    """Every measured value and the ends of its interval, by MLflow's key."""
    values: dict[str, float] = {}
    for row, metric in record.metrics:
        key = f"{metric['name']}/{metric['judge']}"
        key = key if row["key"] == record.measured else f"{row['key']}/{key}"
        if metric["value"] is not None:
            values[key] = float(metric["value"])
            interval = metric["interval"] or {}
            values |= {f"{key}/{end}": float(interval[end]) for end in ("low", "high") if end in interval}
    return values


def _line(row: Mapping[str, Any], metric: Mapping[str, Any]) -> dict[str, Any]:
    interval = metric["interval"] or {}
    ends = {end: interval.get(end) for end in ("low", "high")}
    return {"row": row["key"], "metric": metric["name"], **ends, **{fact: metric.get(fact) for fact in _FACTS}}


def _slice_line(one: Mapping[str, Any]) -> dict[str, Any]:
    metric = one["metric"]
    interval = metric["interval"] or {}
    where = {"dimension": one["dimension"], "slice": one["label"], "metric": metric["name"]}
    ends = {end: interval.get(end) for end in ("low", "high")}
    return {**where, **ends, **{fact: metric.get(fact) for fact in _FACTS}}


def _columns(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [line[name] for line in lines] for name in lines[0]} if lines else {}


def _publish_images(run: RunLog, path: Path, measured: str, name: str, source: str) -> None:
    """The measured row's own measures image by image, and the images as the set that was measured on.

    The sanity rows' measures stand in the Parquet file.
    """
    table = pq.read_table(path)
    wanted = {column: column.removeprefix(f"{measured}.") for column in table.column_names}
    shown = {short: table[column].to_pylist() for column, short in wanted.items() if "." not in short}
    run.table(IMAGES_TABLE, shown)
    sha256s = [one for one in shown.get("sha256", ()) if one]
    if sha256s:
        facts = {"images": len(sha256s), "subjects": len(set(shown.get("subject", ())))}
        run.dataset(f"held-out images of {name}", dataset_root(set(sha256s)), source, "evaluation", facts)
