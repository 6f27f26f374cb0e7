"""From a protocol's rows to its report: judges, facts, slices, the fixed rows of images and the worst ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.edit_report import EditReport, Floats, ReportConfig, ReportRow, Slices, Words, worst_order
from evaluation.metrics.metric import Judge, format_value
from evaluation.pixels import Images
from evaluation.protocols.folder import file_digests, repeated
from evaluation.protocols.pairs_csv import Table
from evaluation.sheet import Picture, sheet

STRIP_ROWS = 3
Columns = Sequence[tuple[str, Images]]


@dataclass(frozen=True)
class Measured:
    """What a protocol hands over: its rows, the images of its sheet by captions, the features of the results.

    `slices` are those the images show; the CSV's own go before them.
    """

    protocol: str
    name: str
    table: Table
    rows: tuple[ReportRow, ...]
    columns: Columns
    inputs: Images
    outputs: Images
    truths: Images | None
    features: Floats
    reference_features: Floats
    faceless: int
    headline: tuple[str, ...]
    reading: tuple[str, ...]
    lead: str
    slices: Slices


def report_of(measured: Measured, config: ReportConfig) -> EditReport:
    """Return the report of a measured folder; its worst images are ordered by the headline's metrics."""
    table, row = measured.table, measured.rows[0]
    worst = worst_order(row, measured.headline)[: config.worst_images]
    first = np.arange(len(table))
    return EditReport(
        protocol=measured.protocol,
        name=measured.name,
        size_px=measured.outputs.shape[1],
        rows=measured.rows,
        judges=judges_of(measured.rows),
        subjects=row.subjects,
        names=table.cells["output"],
        inputs=measured.inputs,
        outputs=measured.outputs,
        features=measured.features,
        reference_features=measured.reference_features,
        slices={**measured.slices, **table.slices},
        config=config,
        sheet=_picture(measured, first[: config.sheet_rows], "The first rows"),
        strip=_picture(measured, first[:STRIP_ROWS], "The first rows"),
        worst=tuple(int(index) for index in worst),
        worst_sheet=_picture(measured, worst, f"The {len(worst)} worst"),
        words=Words(measured.name, measured.lead, _facts(measured), measured.reading),
        headline=measured.headline,
        truth=measured.truths,
    )


def judges_of(rows: Sequence[ReportRow]) -> tuple[Judge, ...]:
    """The judges of all measures and sets, each once, in the order of their first appearance."""
    of_measures = [measure.judge for row in rows for measure in row.measures]
    of_sets = [Judge(metric.judge, metric.judge_digest) for row in rows for metric in row.sets]
    return tuple(dict.fromkeys([*of_measures, *of_sets]))


def _facts(measured: Measured) -> dict[str, str]:
    row, digests = measured.rows[0], file_digests(measured.table, "output")
    side = measured.outputs.shape[1]
    return {
        "Images": f"{len(measured.table)} of {side}×{side} pixels",
        "Subjects": str(len(set(row.subjects))),
        "Without a face": str(measured.faceless),
        "Byte for byte repeated": str(repeated(digests)),
    }


def _picture(measured: Measured, rows: NDArray[np.int64], subtitle: str) -> Picture:
    chosen = [(caption, images[rows]) for caption, images in measured.columns]
    labels = [_label(measured, int(row)) for row in rows]
    written = ", ".join(name.replace("_", " ") for name in measured.headline)
    return sheet(chosen, title=measured.name, subtitle=f"{subtitle}. Below: {written}", row_labels=labels)


def _label(measured: Measured, row: int) -> str:
    """The file, and the headline's values of this image."""
    known = [measured.rows[0].measure(name) for name in measured.headline]
    numbers = ", ".join(_number(float(measure.values[row]), measure.protocol.unit) for measure in known)
    return f"{measured.table.cells['output'][row]}: {numbers}"


def _number(value: float, unit: str) -> str:
    return "–" if np.isnan(value) else format_value(value, unit)
