"""Judges: frozen networks that measure, in a graph of their own."""

from __future__ import annotations

from data.errors import UserError
from evaluation.independence import check_independence
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.step import CheckOutcome, Outcome, Step
from training.judges import (
    JudgeImagesConfig,
    JudgeTrainingConfig,
    install_shipped_judges,
    load_judges,
)
from training.judges.images import judge_images as write_judge_images
from training.judges.train import train_judges

INDEPENDENCE = "independence"


@lineage_asset("judge_images", ATTRIBUTES)
def judge_images(step: Step) -> Outcome:
    """Write down the subjects and scenes that the judges learn from."""
    summary = write_judge_images(JudgeImagesConfig(**step.params.judge_images.model_dump()), step.out)
    return Outcome({"images": summary.images, "headline": f"{summary.images:,} scenes on record"})


@lineage_asset("judges", ATTRIBUTES, checks=(INDEPENDENCE,))
def judges(step: Step) -> Outcome:
    """Take the shipped judges, or train a set on `judge_images`."""
    if step.params.judges.source == "shipped":
        install_shipped_judges(step.out)
    else:
        config = JudgeTrainingConfig(**step.params.judges.model_dump(exclude={"source"}))
        train_judges(step.input("judge_images"), step.out, config, step.progress, step.workdir)
    manifest = load_judges(step.out).manifest
    complaints = check_independence(manifest)
    check = CheckOutcome(
        INDEPENDENCE, not complaints, "; ".join(complaints) or "no shared subject", {"found": complaints}
    )
    scores = {f"{name}/{k}": v for name, record in manifest.judges.items() for k, v in record.scores.items()}
    if not scores:
        raise UserError("The judges carry no held-out scores.", "Train them anew with `editloom run --select judges`.")
    source = step.params.judges.source
    return Outcome({**scores, "headline": f"{len(manifest.judges)} judges, {source}"}, {}, (check,))
