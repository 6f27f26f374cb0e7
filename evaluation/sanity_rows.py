"""Answers that need no editor: a floor, two cheats and the ceiling stand beside every editor (METHODS A, measures)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data.categories import regions_of
from evaluation.edit_report import EDITOR, NOTHING, TRUTH
from evaluation.held_out import HeldOut, Masks
from evaluation.metrics.identity import other_subject_indices
from evaluation.panel import Panel, region_masks
from evaluation.pixels import Images

PASTED, STRANGER = "pasted_region", "another_face"
TITLES: Mapping[str, str] = {
    EDITOR: "editor",
    NOTHING: "did nothing",
    PASTED: "someone else's region pasted",
    STRANGER: "another person's face",
    TRUTH: "true counterfactual",
}
READING: Mapping[str, str] = {
    NOTHING: "Did nothing returns the input: it wins every measure of preservation and fails the attribute.",
    PASTED: "Someone else's region pasted is cut from another person's image that has the attribute: it wins the "
    "attribute and PSNR outside; its seam and its error against the truth show it.",
    STRANGER: "Another person's face is a real image with the attribute: it wins the attribute and fails everything "
    "else. Its identity cosine is the one of different subjects.",
    TRUTH: "True counterfactual is the renderer's own answer: no editor can be expected to pass it, and what it loses "
    "is the judges' own error.",
}


def sanity_answers(held_out: HeldOut, panel: Panel, seed: int, batch_size: int) -> dict[str, Images]:
    """Return images (N×H×W×3) by row key: those that this held-out set allows, strangers drawn by `seed`."""
    answers, strangers = {NOTHING: held_out.inputs}, _strangers_with(held_out, seed)
    if strangers is not None:
        paste = _paste(held_out, panel, strangers, batch_size)
        answers[PASTED] = np.where(paste[..., None], strangers, held_out.inputs)
        answers[STRANGER] = strangers
    elif len(set(held_out.subjects)) > 1:
        answers[STRANGER] = held_out.inputs[other_subject_indices(held_out.subjects, held_out.subjects, seed)]
    if held_out.counterfactuals is not None:
        answers[TRUTH] = held_out.counterfactuals
    return answers


def _strangers_with(held_out: HeldOut, seed: int) -> Images | None:
    """For each image someone else's that has the attribute; None where there is nobody else."""
    reference = held_out.reference
    if len(set(reference.subjects)) < 2:
        return None
    return np.asarray(reference.images[other_subject_indices(held_out.subjects, reference.subjects, seed)])


def _paste(held_out: HeldOut, panel: Panel, strangers: Images, batch_size: int) -> Masks:
    """Where the stranger shows: wherever something may change."""
    if held_out.outside is not None:
        return ~held_out.outside
    regions = regions_of(held_out.attribute, held_out.category)
    both = (region_masks(panel, images, regions, batch_size) for images in (held_out.inputs, strangers))
    return np.asarray(np.logical_or(*both), dtype=bool)
