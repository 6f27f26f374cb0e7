"""Judges: frozen networks that measure, in a graph of their own."""

from __future__ import annotations

from pathlib import Path

from evaluation.independence import check_independence
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.step import CheckOutcome, Outcome, Step
from training.judges import (
    JudgeImagesConfig,
    JudgesManifest,
    JudgeTrainingConfig,
    install_shipped_judges,
    load_judges,
    read_judges_manifest,
    shipped_judges_dir,
)
from training.judges.images import judge_images as write_judge_images
from training.judges.images import read_judge_images
from training.judges.train import train_judges

LINEAGE = "lineage"


@lineage_asset("judge_images", ATTRIBUTES)
def judge_images(step: Step) -> Outcome:
    """Write down the subjects and scenes that the judges learn from, or learnt from when they are shipped."""
    config = JudgeImagesConfig(**step.params.judge_images.model_dump(), category=step.params.category)
    if step.params.judges.source == "shipped":
        config = JudgeImagesConfig(**read_judges_manifest(shipped_judges_dir()).config["judge_images"])
    summary = write_judge_images(config, step.out)
    return Outcome({"images": summary.images, "headline": f"{summary.images:,} scenes on record"})


@lineage_asset("judges", ATTRIBUTES, checks=(LINEAGE,))
def judges(step: Step) -> Outcome:
    """Take the shipped judges, or train a set on `judge_images`."""
    if step.params.judges.source == "shipped":
        install_shipped_judges(step.out)
    else:
        config = JudgeTrainingConfig(**step.params.judges.model_dump(exclude={"source"}))
        every_s, watched = step.params.judges.checkpoint_every_s, (step.progress, step.workdir, step.should_stop)
        train_judges(step.input("judge_images"), step.out, config, *watched, checkpoint_every_s=every_s)
    manifest = load_judges(step.out).manifest
    complaints = check_independence(manifest) + _of_other_images(manifest, step.input("judge_images"))
    summary = "; ".join(complaints) or "no shared subject, and learnt from judge_images"
    scores = {f"{name}/{k}": v for name, record in manifest.judges.items() for k, v in record.scores.items()}
    headline = f"{len(manifest.judges)} judges, {step.params.judges.source}"
    check = CheckOutcome(LINEAGE, not complaints, summary, {"found": complaints})
    return Outcome({**scores, "headline": headline}, {}, (check,))


def _of_other_images(manifest: JudgesManifest, judge_images: Path) -> list[str]:
    """A complaint when the judges did not learn from the scenes that stand in `judge_images`."""
    _, dataset = read_judge_images(judge_images)
    if dataset["dataset_digest"] == manifest.dataset_digest:
        return []
    return [f"the judges learnt from {manifest.dataset_digest[:12]}, judge_images is {dataset['dataset_digest'][:12]}"]
