"""Edit pairs by mask fusion, and the editor that learns them."""

from __future__ import annotations

from evaluation.fusion.sheet import Fusing, fusion_figure
from orchestration.execution import lineage_asset
from orchestration.pair_setup import setup_from
from orchestration.partitions import ATTRIBUTES
from orchestration.step import Outcome, Step
from training.editor.config import EditorTrainingConfig
from training.editor.train import train_editor
from training.judges import load_judges
from training.pair_store import open_pairs
from training.pairs import PairsConfig, PairsResult, make_pairs

SHEET_PAIRS = 8


@lineage_asset("edit_pairs", ATTRIBUTES)
def edit_pairs(step: Step) -> Outcome:
    """Fuse the feature network's attribute into the original network's faces."""
    setup = setup_from(step.input, step.params, step.partition, step.ws.root, step.lease.accelerator, step.seed)
    networks, config = (setup.original, setup.feature), setup.config
    result = make_pairs(*networks, setup.judges, config, step.out, step.workdir, step.progress, step.should_stop)
    fusing = Fusing(*networks, setup.judges.mask, config.fusion, config.truncation_psi)
    shown = open_pairs(step.out).indices[:SHEET_PAIRS]
    figure = fusion_figure(fusing, config.seed, shown, step.partition.replace("_", " "))
    return Outcome(_pair_facts(config, result), {"pairs": figure})


@lineage_asset("attribute_editor", ATTRIBUTES)
def attribute_editor(step: Step) -> Outcome:
    """Train the image-to-image network on the pairs."""
    config = EditorTrainingConfig(
        attribute=step.partition,
        seed=step.seed,
        threads=step.params.compute.threads_per_device,
        **step.params.attribute_editor.model_dump(),
    )
    result = train_editor(
        config,
        step.input("edit_pairs"),
        load_judges(step.input("judges"), step.lease.accelerator),
        step.out,
        step.workdir,
        step.progress,
        step.should_stop,
        accelerator=step.lightning_accelerator,
        devices=step.lease.count,
        cards=step.lease.cards,
    )
    losses = {f"final/{name}": value for name, value in result.losses.items()}
    return Outcome({"pairs": result.pairs, **losses, "headline": f"{config.kimg:g} kimg on {result.pairs:,} pairs"})


def _pair_facts(config: PairsConfig, result: PairsResult) -> dict[str, float | int | str]:
    """What was kept and dropped, and how the schedule was chosen."""
    facts: dict[str, float | int | str] = {
        "pairs": result.kept,
        "candidates": result.candidates,
        "kept_share": result.kept / result.candidates,
        "headline": f"{result.kept:,} of {result.candidates:,} candidates",
        **result.dropped,
    }
    if config.decision is not None:
        facts |= {f"fusion/{name}": value for name, value in config.decision.model_dump().items()}
    return facts
