"""The card of a set of judges: what they were trained on, how well they do, what they are not for."""

from __future__ import annotations

from collections.abc import Mapping

from training.judges.config import JudgeImagesConfig, JudgeTrainingConfig
from training.judges.loading import JudgeRecord

HEADLINES: dict[str, tuple[str, ...]] = {
    "parser": ("iou_mean", "pixel_accuracy"),
    "identity": ("rank1", "cosine_same", "cosine_other"),
    "attribute": ("accuracy_mean", "accuracy_min", "balanced_accuracy_min"),
    "pose": ("error_deg", "yaw_error_deg", "pitch_error_deg", "roll_error_deg"),
    "features": ("rank1", "accuracy_mean"),
    "clip": ("zero_shot_accuracy_mean", "zero_shot_accuracy_min", "zero_shot_balanced_accuracy_mean"),
}
LIMITS = """\
Trained on rendered {category}s alone, at 64×64 pixels. On photographs their answers have no known accuracy.
A distance over `features` is a Fréchet distance of this set of judges; it is not FID.
Judges with the role `train` serve losses, masks and filters; those with the role `eval` serve metrics. The two share no
training subject and no weights."""


def card_text(
    records: Mapping[str, JudgeRecord],
    images: JudgeImagesConfig,
    training: JudgeTrainingConfig,
    colour_histogram_rank1: float,
) -> str:
    """The card as Markdown: a function of the set alone, without times or machines."""
    lines = [
        "# Procedural judges",
        "",
        "Trained by `editloom run --select judges`.",
        "",
        f"Scores: {images.held_out_subjects} held-out subjects, {images.held_out_images} images of each.",
        f"A nearest colour histogram finds {colour_histogram_rank1:.1%} of the subjects: what colours alone give away.",
        "",
        "| judge | role | images seen | training subjects | held-out scores |",
        "|---|---|---|---|---|",
        *(_row(name, record, training) for name, record in records.items()),
        "",
        LIMITS.format(category=images.category),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, record: JudgeRecord, training: JudgeTrainingConfig) -> str:
    seen = training.iterations(record.kind) * training.batch_of(record.kind)
    first, end = record.training_subjects
    scores = ", ".join(f"{key} {record.scores[key]:.4g}" for key in HEADLINES[record.kind] if key in record.scores)
    return f"| {name} | {record.role} | {seen:,} | {first:,} to {end - 1:,} | {scores} |"
