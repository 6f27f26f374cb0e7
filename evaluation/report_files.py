"""Reports as files: metrics.json, summary.json, per_image.parquet, report.html, pictures. Same report, same bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq

from data.png import encode_png
from evaluation.edit_report import EditReport
from evaluation.metrics.metric import Judge, Metric
from evaluation.sheet import Picture
from evaluation.slices import SliceMetric, slice_metrics, worst_slices

METRICS, PER_IMAGE, PAGE = "metrics.json", "per_image.parquet", "report.html"
SUMMARY = "summary.json"
SHEET, STRIP, WORST = "sheet.png", "strip.png", "worst.png"
UNIT_SIGNS = " %dB°"
FACTS = 3
"""So many of the headline's metrics stand above the table."""
DIGEST_CHARS = 8
"""So much of a judge's digest stands in a summary's keys."""

LABELS: Mapping[str, str] = {
    "attribute_success": "Attribute success",
    "attribute_probability": "Attribute probability",
    "identity_cosine": "Identity cosine",
    "psnr_outside": "PSNR outside the mask",
    "psnr_outside_mean": "PSNR outside, mean of images",
    "ssim_outside": "SSIM outside the mask",
    "perceptual_outside": "Perceptual distance outside",
    "seam_ratio": "Seam at the mask's edge",
    "max_change_outside": "Largest change outside",
    "change_outside": "Mean change outside",
    "seam": "Seam along the mask",
    "pose_change": "Pose change",
    "pose_change_yaw": "Pose change, yaw",
    "pose_change_pitch": "Pose change, pitch",
    "pose_change_roll": "Pose change, roll",
    "pose_change_geodesic": "Pose change, angle of the turn",
    "pose_error": "Pose error",
    "pose_error_yaw": "Pose error, yaw",
    "pose_error_pitch": "Pose error, pitch",
    "pose_error_roll": "Pose error, roll",
    "pose_error_geodesic": "Pose error, angle of the turn",
    "id_retrieval_centers": "ID retrieval, centers",
    "id_retrieval_spread": "ID retrieval, spread",
    "identity_cosine_source": "Identity cosine with the source",
    "identity_cosine_target": "Identity cosine with the target",
    "clip_direction": "CLIP direction",
    "identity_cosine_same_subject": "Identity cosine, same subject",
    "identity_cosine_other_subject": "Identity cosine, other subjects",
    "frechet_distance": "Fréchet distance",
    "fid": "FID",
    "kid": "KID",
    "kernel_distance": "Kernel distance",
    "precision": "Precision",
    "recall": "Recall",
    "frechet_ratio": "Fréchet distance, ratio to the start",
    "psnr_counterfactual": "PSNR against the truth",
    "mae_counterfactual": "Mean error against the truth",
    "mae_counterfactual_inside": "Mean error inside the region",
}


PART = "attribute_success_"


def label(name: str) -> str:
    """The name of a metric for people."""
    if name.startswith(PART):
        return f"{LABELS['attribute_success']}, {name.removeprefix(PART).replace('_', ' ')}"
    return LABELS.get(name, name.replace("_", " ").capitalize())


@dataclass(frozen=True)
class MetricTable:
    """A table of a report: a title per column, and per metric name one metric (or none) in each column.

    `worst` stands beside the first column: its worst slice by metric name.
    """

    columns: tuple[str, ...]
    metrics: tuple[Mapping[str, Metric], ...]
    worst: Mapping[str, SliceMetric] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Metric names in the order of their first appearance."""
        return tuple(dict.fromkeys(name for column in self.metrics for name in column))

    def label(self, name: str) -> str:
        """The metric's name for people, with an arrow towards the better end."""
        example = next(column[name] for column in self.metrics if name in column)
        arrow = {True: " ↑", False: " ↓", None: ""}[example.higher_is_better]
        return label(name) + arrow

    def cells(self, name: str) -> Sequence[Metric | None]:
        """The metric of this name in each column."""
        return [column.get(name) for column in self.metrics]


@dataclass(frozen=True)
class TextTable:
    """A table of words: its heading, a title per column, and rows whose first cell names them."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Page:
    """What a report page shows, top to bottom."""

    title: str
    lead: str
    facts: Mapping[str, str]
    table: MetricTable
    judges: tuple[Judge, ...]
    pictures: tuple[tuple[str, Picture], ...]
    reading: tuple[str, ...]
    tables: tuple[TextTable, ...] = ()


def write_report(report: EditReport, out: Path) -> None:
    """Write a report's metrics, summary, measures per image, page, contact sheet, strip and worst images into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    slices = headline_slices(report)
    write_json(out / METRICS, metrics_record(report, slices))
    write_summary(report.rows[0].metrics, out)
    pq.write_table(per_image_table(report), out / PER_IMAGE, compression="zstd", store_schema=False)
    (out / PAGE).write_text(render_page(edit_page(report, slices)), encoding="utf-8")
    pictures = {SHEET: report.sheet, STRIP: report.strip, WORST: report.worst_sheet}
    for name, picture in pictures.items():
        (out / name).write_bytes(encode_png(picture))


def headline_slices(report: EditReport) -> tuple[SliceMetric, ...]:
    """Return the headline's measures of what was measured, over every slice with enough images."""
    return slice_metrics(report.rows[0], report.slices, report.config.slice_images, report.headline)


def metrics_record(report: EditReport, slices: Sequence[SliceMetric] | None = None) -> dict[str, Any]:
    """Return the report as a JSON-able record: what, counts, judges, metrics of each row, slices, worst images."""
    return {
        "protocol": report.protocol,
        "attribute" if report.protocol == "attribute" else "name": report.name,
        "images": len(report),
        "subjects": len(set(report.subjects)),
        "reference_images": len(report.reference_features),
        "size_px": report.size_px,
        "judges": [asdict(judge) for judge in report.judges],
        **asdict(report.config),
        "rows": [{"key": row.key, "title": row.title, "metrics": records(row.metrics)} for row in report.rows],
        "beside": records(report.beside),
        "slices": [
            {"dimension": one.dimension, "label": one.label, "metric": one.metric.record()}
            for one in (headline_slices(report) if slices is None else slices)
        ],
        "worst": [report.names[index] for index in report.worst],
    }


def records(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Return metrics as JSON-able records."""
    return [metric.record() for metric in metrics]


def per_image_table(report: EditReport) -> pa.Table:
    """Return one line per image: its name, subject and slices, and each row's measures in columns `row.measure`."""
    columns: dict[str, Any] = {report.named_by: list(report.names), "subject": list(report.subjects)}
    columns |= {"source": list(report.sources)} if report.sources else {}
    columns |= {f"slice.{dimension}": list(labels) for dimension, labels in report.slices.items()}
    for row in report.rows:
        columns |= {f"{row.key}.{measure.name}": measure.values for measure in row.measures}
    return pa.table(columns)


def edit_page(report: EditReport, slices: Sequence[SliceMetric]) -> Page:
    """Return the page of a report: facts, all rows, slices, the fixed images and the worst ones."""
    words, first = report.words, report.rows[0]
    headline = {label(name): first.metric(name).text for name in report.headline[:FACTS]}
    worst = worst_slices(slices)
    table = MetricTable(
        tuple(row.title for row in report.rows),
        tuple({metric.name: metric for metric in row.metrics} for row in report.rows),
        worst,
    )
    tables = (_slice_table(report, slices, worst), _beside_table(report.beside))
    return Page(
        words.title, words.lead, {**headline, **words.facts}, table, report.judges,
        (("Fixed images", report.sheet), (f"The {len(report.worst)} worst", report.worst_sheet)),
        words.reading, tuple(one for one in tables if one.rows),
    )  # fmt: skip


def interval_text(metric: Metric) -> str:
    """The ends of the metric's interval as people read them, without the unit that the value shows."""
    interval = metric.interval
    if interval is None:
        return "no interval"
    return " – ".join(metric.bound(end).rstrip(UNIT_SIGNS) for end in (interval.low, interval.high))


def _slice_table(report: EditReport, slices: Sequence[SliceMetric], worst: Mapping[str, SliceMetric]) -> TextTable:
    """A line per slice, a column per headline metric; the worst of each column is marked."""
    names = tuple(name for name in report.headline if name in worst)
    lines: dict[tuple[str, str], dict[str, SliceMetric]] = {}
    for one in slices:
        lines.setdefault((one.dimension, one.label), {})[one.metric.name] = one
    rows = []
    for found in lines.values():
        cells = [_slice_cell(found.get(name), worst[name]) for name in names]
        count = max(one.metric.n for one in found.values())
        rows.append((next(iter(found.values())).title, str(count), *cells))
    caption = f"Slices of at least {report.config.slice_images} images; ▼ marks the worst of a column"
    return TextTable(caption, ("", "images", *(label(name) for name in names)), tuple(rows))


def _slice_cell(one: SliceMetric | None, worst: SliceMetric) -> str:
    if one is None or one.metric.value is None:
        return "–"
    mark = "▼ " if (one.dimension, one.label) == (worst.dimension, worst.label) else ""
    return f"{mark}{one.metric.text}\n{interval_text(one.metric)}"


def _beside_table(metrics: Sequence[Metric]) -> TextTable:
    """What the rows are read beside."""
    rows = tuple(
        (label(one.name), one.text, interval_text(one), str(one.n), one.note or one.protocol) for one in metrics
    )
    return TextTable("Beside the rows", ("", "value", "95 %", "n", ""), rows)


def render_page(page: Page) -> str:
    """Return a page as one HTML document that loads nothing from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["ends"] = interval_text
    pictures = [(caption, _data_uri(picture)) for caption, picture in page.pictures]
    return environment.get_template("report.html").render(page=page, pictures=pictures)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as indented JSON with a final newline; raises ValueError on NaN."""
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_summary(metrics: Sequence[Metric], out: Path) -> None:
    """Write summary.json of what was measured: `metric/judge@digest` → value, for tools that compare versions by key.

    The judge's digest is part of the key, because two numbers of different judges are never compared.
    """
    known = {_summary_key(metric): metric.value for metric in metrics if metric.value is not None}
    write_json(out / SUMMARY, dict(sorted(known.items())))


def _summary_key(metric: Metric) -> str:
    digest = f"@{metric.judge_digest[:DIGEST_CHARS]}" if metric.judge_digest else ""
    return f"{metric.name}/{metric.judge}{digest}"


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode("ascii")
