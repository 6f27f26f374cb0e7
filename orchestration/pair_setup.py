"""What a workspace's pairs of an attribute are made with: networks, training judges, schedule, settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.errors import UserError
from data.manifest import read_manifest
from data.shards import read_images
from orchestration.graph import node
from orchestration.params import Params
from orchestration.workspace import Workspace
from training.complexity import FusionPresets, evenly_spread
from training.judges import JudgeSet, load_judges
from training.pairs import PairJudges, PairsConfig, training_judges, with_schedule
from training.stylegan2 import Generator
from training.weights_io import load_generator


@dataclass(frozen=True)
class PairSetup:
    """Networks on their device, the judges of pairs and their set, and the pairs' settings."""

    original: Generator
    feature: Generator
    judges: PairJudges
    judge_set: JudgeSet
    config: PairsConfig


def pair_setup(ws: Workspace, attribute: str, device: torch.device | str = "cpu") -> PairSetup:
    """Read what pairs of an attribute are made with, as params.yaml and the payloads stand now.

    Raises UserError for an undeclared attribute and for an asset that has not been made.
    """
    params = declared(ws, attribute)
    return setup_from(lambda name: made(ws, name, attribute), params, attribute, ws.root, device)


def setup_from(
    payload: Callable[[str], Path],
    params: Params,
    attribute: str,
    root: Path,
    device: torch.device | str,
    seed: int = 0,
) -> PairSetup:
    """What pairs are made with.

    `payload` gives an input's directory, `root` is the workspace, `params` are the attribute's.
    """
    original, feature = (load_generator(payload(name)).to(device) for name in ("original_network", "feature_network"))
    judge_set = load_judges(payload("judges"), device)
    settings = PairsConfig(
        attribute=attribute,
        regions=params.attributes[attribute].regions or (),
        seed=seed,
        **params.edit_pairs.model_dump(exclude={"fusion"}),
    )
    judges = training_judges(judge_set, settings, original.config.size_px, device, root)
    presets = FusionPresets(**params.edit_pairs.fusion.model_dump())
    config = with_schedule(settings, presets, judges, _some_images(payload("attribute_images")), device)
    return PairSetup(original, feature, judges, judge_set, config)


def declared(ws: Workspace, attribute: str) -> Params:
    """The params of one attribute; raises UserError where params.yaml does not declare it."""
    params = ws.params()
    if attribute not in params.attributes:
        raise UserError(
            f"There is no attribute '{attribute}'.", f"params.yaml declares: {', '.join(params.attributes)}."
        )
    return params.for_attribute(attribute)


def made(ws: Workspace, asset: str, attribute: str) -> Path:
    """The payload of an asset (of the attribute, where it has partitions); UserError where it is not there."""
    partition = attribute if node(asset).partition else None
    folder = ws.payload(asset, partition)
    if not folder.is_dir():
        name = f"{asset}[{partition}]" if partition else asset
        remedy = f"editloom run --select +{asset}" + (f" --partition {partition}" if partition else "")
        raise UserError(f"{name} is not in this workspace.", f"Make it: `{remedy}`.")
    return folder


def _some_images(directory: Path) -> NDArray[np.uint8]:
    """Some training images of the second set: what the region's area is measured on."""
    manifest = read_manifest(directory)
    rows = manifest[manifest["split"] == "train"]
    return read_images(directory, rows.iloc[evenly_spread(len(rows))])
