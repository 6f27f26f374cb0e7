"""The original network, and a feature network for each attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.manifest import read_manifest
from data.shards import read_images
from evaluation.original_report import generator_sampler
from evaluation.sheet import Picture, grid
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.step import Outcome, Step
from orchestration.training_sections import GanTraining
from training.gan_config import GanTrainingConfig
from training.gan_training import GanResult, train_gan
from training.interruption import Interrupted
from training.shipped import shipped_original
from training.stylegan2 import DiscriminatorConfig, Generator, GeneratorConfig
from training.weights_io import load_gan, save_gan

GRID_IMAGES, GRID_COLUMNS, GRID_SEED = 32, 8, 1


@lineage_asset("original_network", ATTRIBUTES)
def original_network(step: Step) -> Outcome:
    """Train the original network on the training split, from shipped weights or from nothing."""
    params = step.params.original_network
    pixels = _pixels(step.input("aligned_images"))
    shapes = params.network.model_dump()
    config = _config(
        step,
        params,
        generator=GeneratorConfig(size_px=pixels.shape[1], **shapes),
        discriminator=DiscriminatorConfig(size_px=pixels.shape[1], channels=shapes["channels"]),
    )
    start = shipped_original() if params.start == "shipped" else None
    result = train_gan(config, pixels, step.workdir, start=start, **_watched(step))
    return _outcome(step, result)


@lineage_asset("feature_network", ATTRIBUTES)
def feature_network(step: Step) -> Outcome:
    """Fine-tune generator and discriminator on the second image set; the mapping stays as it is."""
    pixels = _pixels(step.input("attribute_images"))
    start = load_gan(step.input("original_network"))
    config = _config(step, step.params.feature_network)
    result = train_gan(config, pixels, step.workdir, start=start, freeze_mapping=True, **_watched(step))
    return _outcome(step, result)


def _pixels(directory: Path) -> NDArray[np.uint8]:
    manifest = read_manifest(directory)
    return read_images(directory, manifest[manifest["split"] == "train"])


def _config(step: Step, section: GanTraining, **more: Any) -> GanTrainingConfig:
    """The room's settings from the section of params.yaml that has the same names."""
    known = {k: v for k, v in section.model_dump().items() if k in GanTrainingConfig.model_fields}
    return GanTrainingConfig(**known, **more, seed=step.seed, threads=step.params.compute.threads_per_device)


def _watched(step: Step) -> dict[str, Any]:
    def on_snapshot(kimg: float, generator: Generator) -> None:
        step.picture("faces", _faces(generator), round(kimg * 1000))

    return {
        "accelerator": step.lightning_accelerator,
        "progress": step.progress,
        "stop": step.should_stop,
        "on_snapshot": on_snapshot,
    }


def _outcome(step: Step, result: GanResult) -> Outcome:
    if not result.finished:
        raise Interrupted(f"{step.id} stopped after {result.kimg:g} kimg; the same command goes on from there")
    save_gan(step.out, result.weights)
    faces = _faces(result.weights.build_generator())
    return Outcome({"kimg": result.kimg, "headline": f"{result.kimg:g} kimg"}, {"faces": faces})


def _faces(generator: Generator) -> Picture:
    """The same faces each time: what training changes is the networks alone."""
    images = generator_sampler(generator, GRID_SEED, truncation_psi=0.8)(np.arange(GRID_IMAGES))
    return grid(images, GRID_COLUMNS)
