"""Edit pairs by mask fusion, and the editor that learns them."""

from __future__ import annotations

from evaluation.sheet import Picture, mask_image, sheet
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.step import Outcome, Step
from training.editor.config import EditorTrainingConfig
from training.editor.train import train_editor
from training.fusion import FusionConfig
from training.judges import load_judges
from training.pair_store import load_pairs
from training.pairs import PairsConfig, make_pairs
from training.weights_io import load_generator

SHEET_PAIRS = 8


@lineage_asset("edit_pairs", ATTRIBUTES)
def edit_pairs(step: Step) -> Outcome:
    """Fuse the feature network's attribute into the original network's faces."""
    section = step.params.edit_pairs
    config = PairsConfig(
        attribute=step.partition,
        regions=step.params.attributes[step.partition].regions or (),
        seed=step.seed,
        fusion=FusionConfig(**section.fusion.model_dump()),
        **section.model_dump(exclude={"fusion"}),
    )
    original, feature = (load_generator(step.input(name)) for name in ("original_network", "feature_network"))
    judges = load_judges(step.input("judges"))
    result = make_pairs(original, feature, judges, config, step.out, step.workdir, step.progress, step.should_stop)
    facts = {"pairs": result.kept, "candidates": result.candidates, "kept_share": result.kept / result.candidates}
    headline = f"{result.kept:,} of {result.candidates:,} candidates"
    return Outcome({**facts, "headline": headline, **result.dropped}, {"pairs": _pairs_sheet(step)})


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
        load_judges(step.input("judges")),
        step.out,
        step.workdir,
        step.progress,
        step.should_stop,
        accelerator=step.lightning_accelerator,
    )
    losses = {f"final/{name}": value for name, value in result.losses.items()}
    return Outcome({"pairs": result.pairs, **losses, "headline": f"{config.kimg:g} kimg on {result.pairs:,} pairs"})


def _pairs_sheet(step: Step) -> Picture:
    pairs = load_pairs(step.out)
    rows = slice(0, SHEET_PAIRS)
    masks = mask_image(pairs.masks[rows] / 255.0)
    columns = [("original", pairs.originals[rows]), ("joint mask", masks), ("target", pairs.targets[rows])]
    return sheet(columns, title=step.partition.replace("_", " "))
