"""Text-driven editing: whether the picture moved towards the sentence, and whose face it still is (METHODS D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.errors import UserError
from evaluation.edit_report import EDITOR, NOTHING, TRUTH, EditReport, ReportConfig, ReportRow
from evaluation.held_out import Masks
from evaluation.metrics.clip_direction import clip_direction_measure
from evaluation.metrics.identity import identity_measure
from evaluation.metrics.measure import Measure
from evaluation.metrics.pose import pose_measures
from evaluation.panel import Panel, SeesText, judge_of
from evaluation.pixels import Images, batches, to_tensor
from evaluation.protocols.folder import ImageSize, read_column, read_masks
from evaluation.protocols.pairs_csv import Columns, Table, check_unique, read_table
from evaluation.protocols.report import Measured, report_of
from evaluation.protocols.seen import Floats, Seen, see
from evaluation.protocols.settings import mask_judge, outside_measures, truth_measures
from evaluation.sheet import error_image
from evaluation.slices import photo_slices

COLUMNS = Columns(
    images=("output", "input", "truth", "mask"),
    texts=("prompt", "source_text", "subject"),
    required=("output", "input"),
)
SOURCE_TEXT = "a face"
TITLES: Mapping[str, str] = {EDITOR: "results", NOTHING: "did nothing", TRUTH: "true counterfactual"}
HEADLINE = ("clip_direction", "identity_cosine", "pose_change")
LEAD = "The picture should move towards the sentence and still show the same face."
READING = (
    "Did nothing returns the input: it wins every measure of preservation, and the direction it moves in is none.",
    "CLIP's direction can be won by pixels that mean nothing to people: look at the sheet, too. The CLIP that stood in "
    "a tool's loss may not judge its results.",
    "Intervals are 95 % bootstrap intervals that resample whole subjects.",
)


@dataclass(frozen=True)
class TextFolder:
    """Results and their inputs N×S×S×3, the sentence each should follow, and what the input is called (N each)."""

    table: Table
    outputs: Images
    inputs: Images
    prompts: tuple[str, ...]
    source_texts: tuple[str, ...]
    subjects: tuple[str, ...]
    outside: Masks | None
    truths: Images | None


def read_text_edits(folder: Path, pairs: Path, prompt: str = "", source_text: str = SOURCE_TEXT) -> TextFolder:
    """Read a folder of edits by sentence; `prompt` and `source_text` stand where the CSV says none.

    Raises UserError that names file and row.
    """
    table = read_table(pairs, folder, COLUMNS)
    check_unique(table, "output")
    outputs = read_column(table, "output")
    size = ImageSize.of(outputs, table, "output")
    prompts = table.texts("prompt", [prompt] * len(table))
    if "" in prompts:
        place = table.where(prompts.index(""))
        raise UserError(f"{place}: there is no prompt.", "Give it in the column `prompt`, or --prompt for all rows.")
    masks = read_masks(table, size)
    return TextFolder(
        table, outputs, read_column(table, "input", size), prompts,
        table.texts("source_text", [source_text] * len(table)),
        table.texts("subject", table.cells["input"]),
        None if masks is None else ~masks,
        read_column(table, "truth", size) if "truth" in table else None,
    )  # fmt: skip


@dataclass(frozen=True)
class _Bench:
    """What every row is measured against, seen once; image and text vectors are N×D."""

    folder: TextFolder
    panel: Panel
    clip: SeesText
    config: ReportConfig
    before: Seen
    image_vectors: Floats
    source_vectors: Floats
    prompt_vectors: Floats


def evaluate_text_edits(folder: TextFolder, panel: Panel, config: ReportConfig | None = None) -> EditReport:
    """Measure a folder of edits by sentence, beside doing nothing; raises UserError without a CLIP judge."""
    config = config or ReportConfig()
    bench = _look(folder, panel, _clip(panel), config)
    answers = {EDITOR: folder.outputs, NOTHING: folder.inputs}
    if folder.truths is not None:
        answers[TRUTH] = folder.truths
    names = folder.table.cells["output"]
    seen = {
        key: bench.before if key == NOTHING else see(panel, images, config.batch_size, names)
        for key, images in answers.items()
    }
    rows = tuple(_row(bench, key, images, seen[key]) for key, images in answers.items())
    return report_of(_measured(bench, rows, seen[EDITOR]), config)


def text_measures(bench: _Bench, outputs: Images, after: Seen) -> tuple[Measure, ...]:
    """Return every measure per image of one way to answer, N each."""
    folder, panel, before = bench.folder, bench.panel, bench.before
    vectors = image_vectors(bench.clip, outputs, bench.config.batch_size, panel.device)
    texts = bench.source_vectors, bench.prompt_vectors
    return (
        clip_direction_measure(bench.image_vectors, vectors, *texts, judge_of(bench.clip)),
        identity_measure(before.identities, after.identities, judge_of(panel.identity)),
        *pose_measures(before.angles_deg, after.angles_deg, judge_of(panel.pose)),
        *outside_measures(folder.inputs, outputs, folder.outside, mask_judge(folder.outside)),
        *truth_measures(outputs, folder.truths, folder.outside),
    )


@torch.inference_mode()
def image_vectors(clip: SeesText, images: Images, batch_size: int, device: torch.device) -> Floats:
    """Return CLIP's vectors of N×S×S×3 images, N×D."""
    parts = [clip.image_vectors(to_tensor(images[part], device)) for part in batches(len(images), batch_size)]
    return np.asarray(torch.cat(parts).double().cpu().numpy(), dtype=np.float64)


@torch.inference_mode()
def text_vectors(clip: SeesText, texts: Sequence[str]) -> Floats:
    """Return CLIP's vector of each sentence, N×D; a sentence that stands there often is seen once."""
    once = list(dict.fromkeys(texts))
    vectors = clip.text_vectors(once).double().cpu().numpy()
    return np.asarray(vectors[[once.index(text) for text in texts]], dtype=np.float64)


def _clip(panel: Panel) -> SeesText:
    if panel.clip is None:
        raise UserError("These judges hold no CLIP.", "Give one: --clip OPENCLIP_NAME=FILE.")
    return panel.clip


def _look(folder: TextFolder, panel: Panel, clip: SeesText, config: ReportConfig) -> _Bench:
    before = see(panel, folder.inputs, config.batch_size, folder.table.cells["input"])
    vectors = image_vectors(clip, folder.inputs, config.batch_size, panel.device)
    texts = text_vectors(clip, folder.source_texts), text_vectors(clip, folder.prompts)
    return _Bench(folder, panel, clip, config, before, vectors, *texts)


def _row(bench: _Bench, key: str, images: Images, seen: Seen) -> ReportRow:
    subjects, bootstrap = bench.folder.subjects, bench.config.bootstrap
    return ReportRow(key, TITLES[key], text_measures(bench, images, seen), (), subjects, bootstrap)


def _measured(bench: _Bench, rows: tuple[ReportRow, ...], results: Seen) -> Measured:
    folder = bench.folder
    columns = [("input", folder.inputs), ("result", folder.outputs)]
    if folder.truths is None:
        columns.append(("change x4", error_image(folder.outputs, folder.inputs)))
    else:
        columns.append(("true answer", folder.truths))
    none = np.zeros((0, 0), dtype=np.float64)
    return Measured(
        "text", "Edit by a sentence", folder.table, rows, columns, folder.inputs, folder.outputs, folder.truths,
        results.features, none, results.faceless, HEADLINE, READING, LEAD,
        photo_slices(folder.inputs, bench.before.angles_deg),
    )  # fmt: skip
