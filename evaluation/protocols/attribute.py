"""Attribute editing: a folder of edits measured like the product's own editors (METHODS A)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.categories import known_parts
from evaluation.attribute_report import AttributeReportConfig, measure_attribute_answers
from evaluation.edit_report import EditReport, ReportRow
from evaluation.held_out import HeldOut, Reference
from evaluation.metrics.metric import RENDERER
from evaluation.panel import Panel
from evaluation.pixels import Images
from evaluation.protocols.folder import ImageSize, file_digests, read_column, read_masks, repeated
from evaluation.protocols.pairs_csv import Columns, Table, check_unique, read_table
from evaluation.protocols.report import judges_of
from evaluation.protocols.settings import mask_judge, read_people, truth_judge

COLUMNS = Columns(
    images=("output", "input", "truth", "mask"),
    texts=("subject",),
    required=("output", "input"),
)
NO_REFERENCE = "there is no reference.csv: real images that have the attribute"
LEAD = "Results of any tool that should have “{name}”, beside the inputs they were made from."


@dataclass(frozen=True)
class AttributeFolder:
    """Results N×S×S×3, and what they answer: inputs, true counterfactuals, masks and subjects as held-out images."""

    table: Table
    outputs: Images
    held_out: HeldOut


def read_attribute_edits(
    folder: Path, pairs: Path, attribute: str, reference: Path | None = None, category: str = "face"
) -> AttributeFolder:
    """Read a folder of edits that should add `attribute`; reference.csv names real images that have it.

    Raises UserError that names file and row, and for an attribute that no judge knows.
    """
    known_parts(attribute, category)
    table = read_table(pairs, folder, COLUMNS)
    check_unique(table, "output")
    outputs = read_column(table, "output")
    size = ImageSize.of(outputs, table, "output")
    masks = read_masks(table, size)
    held_out = HeldOut(
        attribute=attribute,
        inputs=read_column(table, "input", size),
        counterfactuals=read_column(table, "truth", size) if "truth" in table else None,
        outside=None if masks is None else ~masks,
        subjects=table.texts("subject", table.cells["input"]),
        sources=table.cells["output"],
        sha256s=file_digests(table, "output"),
        reference=_reference(reference, folder, size),
        category=category,
        slices=table.slices,
    )
    return AttributeFolder(table, outputs, held_out)


def evaluate_attribute_edits(
    folder: AttributeFolder, panel: Panel, config: AttributeReportConfig | None = None
) -> EditReport:
    """Measure a folder of attribute edits with the measures and sanity rows of an attribute editor's own report."""
    held_out = folder.held_out
    report = measure_attribute_answers(folder.outputs, panel, held_out, config or AttributeReportConfig())
    rows = tuple(_given(row, held_out) for row in report.rows)
    rows = (replace(rows[0], title="results"), *rows[1:])
    name = held_out.attribute.replace("_", " ").replace("+", " + ")
    facts = {
        "Images": f"{len(held_out)} of {report.size_px}×{report.size_px} pixels",
        "Subjects": str(len(set(held_out.subjects))),
        "Reference images": str(len(held_out.reference.images)),
        "Truth": "given" if held_out.counterfactuals is not None else "none",
        "Byte for byte repeated": str(repeated(held_out.sha256s)),
    }
    words = replace(report.words, title=f"Attribute: {name}", lead=LEAD.format(name=name), facts=facts)
    return replace(report, rows=rows, judges=judges_of(rows), words=words, names=folder.table.cells["output"])


def _given(row: ReportRow, held_out: HeldOut) -> ReportRow:
    """The row with the folder's masks and truths as judges where a rendered set has the renderer."""
    mask, truth = mask_judge(held_out.outside), truth_judge(held_out.counterfactuals)
    measures = tuple(
        replace(measure, judge=truth if "counterfactual" in measure.name else mask)
        if measure.judge == RENDERER
        else measure
        for measure in row.measures
    )
    sets = row.sets if len(held_out.reference.images) else tuple(replace(one, note=NO_REFERENCE) for one in row.sets)
    return replace(row, measures=measures, sets=sets)


def _reference(file: Path | None, folder: Path, size: ImageSize) -> Reference:
    if file is None:
        return Reference(np.zeros((0, size.side_px, size.side_px, 3), dtype=np.uint8), ())
    people = read_people(file, folder, size)
    return Reference(people.images, people.subjects)
