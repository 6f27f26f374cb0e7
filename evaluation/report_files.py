"""Reports as files: metrics.json, per_image.parquet, report.html and pictures. Same report, same bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq

from data.png import encode_png
from evaluation.attribute_report import AttributeReport
from evaluation.metrics.metric import Judge, Metric
from evaluation.sheet import Picture

METRICS, PER_IMAGE, PAGE, SHEET, STRIP = "metrics.json", "per_image.parquet", "report.html", "sheet.png", "strip.png"

LABELS: Mapping[str, str] = {
    "attribute_success": "Attribute success",
    "attribute_probability": "Attribute probability",
    "identity_cosine": "Identity cosine",
    "psnr_outside": "PSNR outside the mask",
    "psnr_outside_mean": "PSNR outside, mean of images",
    "max_change_outside": "Largest change outside",
    "change_outside": "Mean change outside",
    "seam": "Seam along the mask",
    "pose_change": "Pose change",
    "pose_change_yaw": "Pose change, yaw",
    "pose_change_pitch": "Pose change, pitch",
    "pose_change_roll": "Pose change, roll",
    "frechet_distance": "Fréchet distance",
    "frechet_ratio": "Fréchet distance, ratio to the start",
    "psnr_counterfactual": "PSNR against the truth",
    "mae_counterfactual": "Mean error against the truth",
    "mae_counterfactual_inside": "Mean error inside the region",
}


HEADLINE = ("attribute_success", "identity_cosine", "psnr_outside")


@dataclass(frozen=True)
class MetricTable:
    """A table of a report: a title per column, and per metric name one metric (or none) in each column."""

    columns: tuple[str, ...]
    metrics: tuple[Mapping[str, Metric], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Metric names in the order of their first appearance."""
        return tuple(dict.fromkeys(name for column in self.metrics for name in column))

    def label(self, name: str) -> str:
        """The metric's name for people, with an arrow towards the better end."""
        example = next(column[name] for column in self.metrics if name in column)
        arrow = {True: " ↑", False: " ↓", None: ""}[example.higher_is_better]
        return LABELS.get(name, name.replace("_", " ")) + arrow

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


def write_report(report: AttributeReport, out: Path) -> None:
    """Write an attribute editor's metrics, measures per image, page, sheet and strip into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / METRICS, metrics_record(report))
    pq.write_table(per_image_table(report), out / PER_IMAGE, compression="zstd", store_schema=False)
    (out / PAGE).write_text(render_page(attribute_page(report)), encoding="utf-8")
    (out / SHEET).write_bytes(encode_png(report.sheet))
    (out / STRIP).write_bytes(encode_png(report.strip))


def metrics_record(report: AttributeReport) -> dict[str, Any]:
    """Return the report as a JSON-able record: attribute, counts, judges, and the metrics of each row."""
    return {
        "attribute": report.attribute,
        "images": len(report.held_out),
        "subjects": len(set(report.held_out.subjects)),
        "reference_images": len(report.held_out.reference.images),
        "judges": [asdict(judge) for judge in report.judges],
        "threshold": report.config.threshold,
        "bootstrap": asdict(report.config.bootstrap),
        "rows": [{"key": row.key, "title": row.title, "metrics": records(row.metrics)} for row in report.rows],
    }


def records(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Return metrics as JSON-able records."""
    return [metric.record() for metric in metrics]


def per_image_table(report: AttributeReport) -> pa.Table:
    """Return one line per held-out image; measures stand in columns `row.measure`."""
    held_out = report.held_out
    columns: dict[str, Any] = {
        "sha256": list(held_out.sha256s),
        "subject": list(held_out.subjects),
        "source": list(held_out.sources),
    }
    for row in report.rows:
        columns |= {f"{row.key}.{name}": values for name, values in row.per_image.items()}
    return pa.table(columns)


def attribute_page(report: AttributeReport) -> Page:
    """Return the page of an attribute editor's report."""
    held_out = report.held_out
    facts = {LABELS[name]: report.rows[0].metric(name).text for name in HEADLINE} | {
        "Held-out images": str(len(held_out)),
        "Subjects": str(len(set(held_out.subjects))),
        "Reference images": str(len(held_out.reference.images)),
        "Counterfactual": "rendered" if held_out.counterfactuals is not None else "none (photographs)",
    }
    table = MetricTable(
        tuple(row.title for row in report.rows),
        tuple({metric.name: metric for metric in row.metrics} for row in report.rows),
    )
    name = report.attribute.replace("_", " ")
    return Page(
        f"Attribute editor: {name}",
        f"Faces of subjects that no network was trained on, all without “{name}”; the editor adds it.",
        facts, table, report.judges, (("Fixed held-out faces", report.sheet),), READING,
    )  # fmt: skip


READING = (
    "Did nothing returns the input: it wins every measure of preservation and fails the attribute.",
    "True counterfactual is the renderer's own answer: no editor can be expected to pass it, and what it loses is the "
    "judges' own error.",
    "Another person's face is a real face with the attribute: it wins the attribute and fails everything else. "
    "Its identity cosine is the one of different subjects.",
    "Outside the mask means outside the region of the attribute in input and counterfactual, grown by one pixel.",
    "Intervals are 95 % percentile bootstrap intervals, resampling whole subjects.",
)


def render_page(page: Page) -> str:
    """Return a page as one HTML document that loads nothing from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pictures = [(caption, _data_uri(picture)) for caption, picture in page.pictures]
    return environment.get_template("report.html").render(page=page, pictures=pictures)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as indented JSON with a final newline; raises ValueError on NaN."""
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode("ascii")
