"""Measuring an editor: one way for its report, for comparisons and for the gate, with the same images and seeds."""

from __future__ import annotations

from pathlib import Path

import torch

from evaluation.attribute_report import AttributeReportConfig, evaluate_attribute_editor
from evaluation.edit_report import EditReport
from evaluation.held_out import held_out_set
from evaluation.metrics.intervals import Bootstrap
from evaluation.panel import evaluation_panel
from orchestration.graph import AssetId
from orchestration.sections import AttributeReport, Params
from orchestration.step import seed_of
from training.editor.apply import edit, load_editor
from training.judges import load_judges

REPORT = "attribute_report"


def report_seed(params: Params, attribute: str) -> int:
    """Return the seed with which the attribute's editors are measured, whoever asks."""
    return seed_of(params.seed, str(AssetId(REPORT, attribute)))


def measure_editor(
    editor_dir: Path,
    judges_dir: Path,
    aligned_dir: Path,
    attribute: str,
    section: AttributeReport,
    seed: int,
    device: torch.device,
) -> EditReport:
    """Measure an editor's files on the held-out images that lack its attribute; raises UserError on unusable files."""
    editor = load_editor(editor_dir, device)
    panel = evaluation_panel(load_judges(judges_dir, device))
    held_out = held_out_set(aligned_dir, attribute, section.count, panel.category)
    return evaluate_attribute_editor(lambda images: edit(editor, images), panel, held_out, report_config(section, seed))


def report_config(section: AttributeReport, seed: int) -> AttributeReportConfig:
    """Return how a workspace's parameters ask for reports to be made."""
    return AttributeReportConfig(
        threshold=section.threshold,
        bootstrap=Bootstrap(replicates=section.bootstrap, seed=seed),
        seed=seed,
        sheet_rows=section.sheet_rows,
    )
