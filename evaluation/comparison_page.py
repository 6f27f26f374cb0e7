"""A comparison of versions as words: cells for a terminal, columns for a tracking server, one HTML page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import numpy as np

from data.png import encode_png
from evaluation.comparison import CHANGE_GAIN, FAMILY_ERROR, MINIMUM_IMAGES, Comparison, Line, PictureRow, SliceLoss
from evaluation.metrics.metric import Metric, format_value
from evaluation.metrics.paired import Difference
from evaluation.report_files import LABELS, TextTable
from evaluation.sheet import Picture, sheet

SMALLEST_SHOWN_PX = 128
SLICE_COLUMNS = ("Version", "Slice", "Metric", "Difference", "Images", "p (Holm)")
READING = (
    "A difference is a version's value less the baseline's on the same images. Its interval is a 95 % percentile "
    "bootstrap that resamples whole subjects, the same ones for both.",
    "Better and worse are said only where the interval leaves out zero; “differs” where the metric has no better end. "
    "“Undecided” does not mean equal: read the interval.",
    "About one in twenty metrics that do not differ at all is expected to be called real: weigh several together.",
    f"Slices of at least {MINIMUM_IMAGES} images count. A slice is called worse when its interval leaves out zero and "
    f"its p, after Holm's correction over all slice differences of that version, stays below {FAMILY_ERROR:g}.",
)
READING_RECORDED = (
    "Every number stands as the version's own report recorded it. Nothing was measured for this page.",
    "Numbers are subtracted only where judge, digest and held-out set are the same. Such a difference has no interval: "
    "leave out --recorded to measure both versions anew on the same images.",
)


@dataclass(frozen=True)
class ComparedPage:
    """A comparison and what is told beside it: what changed between the versions, and what to be careful about."""

    comparison: Comparison
    changes: tuple[TextTable, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def reading(self) -> tuple[str, ...]:
        """How the numbers are to be read."""
        return READING_RECORDED if self.comparison.recorded else READING


def label_of(metric: Metric) -> str:
    """The metric's name for people, with an arrow towards its better end."""
    arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
    return LABELS.get(metric.name, metric.name.replace("_", " ")) + arrow


def signed(value: float, unit: str) -> str:
    """A difference as people read it: always with its sign, shares in percentage points."""
    if unit == "share":
        return f"{100 * value:+.1f} pp"
    return f"{'-' if value < 0 else '+'}{format_value(abs(value), unit)}"


def difference_text(difference: Difference) -> str:
    """The difference and its interval, or why there is none."""
    if difference.value is None:
        return difference.note or "–"
    text = signed(difference.value, difference.unit)
    if difference.interval is None:
        return text
    ends = (signed(end, difference.unit) for end in (difference.interval.low, difference.interval.high))
    low, high = (end.removesuffix(" pp").removesuffix(" dB").removesuffix("°") for end in ends)
    return f"{text} [{low}, {high}]"


def verdict(difference: Difference) -> str:
    """What may be concluded, in a word."""
    if difference.value is None:
        return "–"
    if difference.interval is None:
        return "no interval"
    if not difference.real:
        return "same" if difference.value == 0 == difference.interval.low == difference.interval.high else "undecided"
    return {True: "better", False: "worse", None: "differs"}[difference.better]


def slice_cells(label: str, loss: SliceLoss) -> tuple[str, ...]:
    """A lost slice under SLICE_COLUMNS."""
    difference = loss.difference
    name = LABELS.get(difference.metric, difference.metric)
    where = f"{loss.dimension}: {loss.label}".replace("_", " ")
    return label, where, name, difference_text(difference), str(difference.n), f"{loss.p_adjusted:.2g}"


def scan_sentence(label: str, looked_at: int, lost: int) -> str:
    """How many slices were looked at, and how many of them are worse."""
    if not looked_at:
        return f"{label}: no slice has {MINIMUM_IMAGES} images."
    found = "none is worse" if not lost else f"{lost} {'is' if lost == 1 else 'are'} worse"
    return f"{label}: {looked_at} slice differences looked at, {found} after Holm's correction."


def table_columns(comparison: Comparison) -> dict[str, list[str | float | None]]:
    """The comparison as columns of one length: a row per metric and version, the baseline's too."""
    rows: list[tuple[str | float | None, ...]] = []
    for line in comparison.lines:
        for label, metric, difference in zip(comparison.labels, line.metrics, (None, *line.differences), strict=True):
            rows.append((line.name, metric.judge, metric.judge_digest[:12], label, *_numbers(metric, difference)))
    names = ("metric", "judge", "digest", "version", "n", "value", "difference", "low", "high", "verdict", "note")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _numbers(metric: Metric, difference: Difference | None) -> tuple[str | float | None, ...]:
    if difference is None:
        return metric.n, metric.value, None, None, None, "baseline", metric.note
    ends = difference.interval
    low, high = (None, None) if ends is None else (ends.low, ends.high)
    return metric.n, metric.value, difference.value, low, high, verdict(difference), difference.note or metric.note


def comparison_sheet(comparison: Comparison, rows: Sequence[PictureRow], title: str) -> Picture:
    """Rows of pictures as one: input, every version's answer and its change, the truth where all rows have one."""
    columns = [("input", np.stack([row.input for row in rows]))]
    for place, label in enumerate(comparison.labels):
        columns.append((label, np.stack([row.answers[place] for row in rows])))
    for place, label in enumerate(comparison.labels[1:]):
        columns.append((f"{label} x{CHANGE_GAIN}", np.stack([row.changes[place] for row in rows])))
    truths = [row.truth for row in rows if row.truth is not None]
    if len(truths) == len(rows):
        columns.append(("truth", np.stack(truths)))
    return sheet(columns, title=title)


def render_comparison(page: ComparedPage) -> str:
    """Return the page as one HTML document that loads nothing from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(
        label_of=label_of, difference_text=difference_text, verdict=verdict, slice_cells=slice_cells,
        scan_sentence=scan_sentence, gain=CHANGE_GAIN, data_uri=_data_uri, width_px=_width_px, judge_text=judge_text,
    )  # fmt: skip
    return environment.get_template("comparison.html").render(
        page=page, comparison=page.comparison, slice_columns=SLICE_COLUMNS
    )


def judge_text(line: Line) -> str:
    """The judge of a line and the start of its digest; of recorded numbers there may be several."""
    judges = dict.fromkeys(f"{metric.judge} {metric.judge_digest[:8]}".strip() for metric in line.metrics)
    return " / ".join(judges)


def _width_px(picture: Picture) -> int:
    """At full size, and small ones at a whole multiple of it."""
    return int(picture.shape[1]) * max(1, -(-SMALLEST_SHOWN_PX // int(picture.shape[1])))


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode("ascii")
