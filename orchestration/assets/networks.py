"""The original network, and a feature network for each attribute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.manifest import read_manifest
from data.shards import read_images
from evaluation.original_report import generator_sampler
from evaluation.sheet import Images, Picture, grid, time_lapse
from orchestration.execution import lineage_asset
from orchestration.partitions import ATTRIBUTES
from orchestration.step import Outcome, Step
from orchestration.training_sections import GanTraining
from training.gan_config import GanTrainingConfig
from training.gan_training import GanResult, load_snapshot, train_gan
from training.interruption import Interrupted
from training.judges import load_judges
from training.shipped import shipped_original
from training.snapshot_choice import (
    SnapshotChoiceConfig,
    SnapshotScore,
    choice_judges,
    choose,
    score_snapshots,
    write_curve,
)
from training.stylegan2 import DiscriminatorConfig, Generator, GeneratorConfig
from training.weights_io import load_gan, save_gan, save_generator

GRID_IMAGES, GRID_COLUMNS, GRID_SEED = 32, 8, 1
TIME_LAPSE_ROWS = 6


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
    result = _finished(step, train_gan(config, pixels, step.workdir, start=start, **_watched(step)))
    save_gan(step.out, result.weights)
    faces = _faces(result.weights.build_generator())
    return Outcome({"kimg": result.kimg, "headline": f"{result.kimg:g} kimg"}, {"faces": faces})


@lineage_asset("feature_network", ATTRIBUTES)
def feature_network(step: Step) -> Outcome:
    """Fine-tune generator and discriminator on the second image set, mapping frozen, and keep the best snapshot."""
    pixels = _pixels(step.input("attribute_images"))
    start = load_gan(step.input("original_network"))
    config = _config(step, step.params.feature_network)
    trained = train_gan(config, pixels, step.workdir, start=start, freeze_mapping=True, **_watched(step))
    result = _finished(step, trained)
    choice = SnapshotChoiceConfig(**step.params.feature_network.snapshots.model_dump(), seed=step.seed)
    scored = _scored(step, start.build_generator(), result, choice)
    best = choose(scored.curve)
    chosen = next(snapshot for snapshot in result.snapshots if snapshot.kimg == best.kimg)
    generator = load_snapshot(chosen, result.weights.generator_config)
    save_generator(step.out, generator)
    write_curve(step.out, scored.curve, choice)
    pictures = {"faces": _faces(generator), "time_lapse": time_lapse(scored.frames, step.partition.replace("_", " "))}
    headline = f"{best.kimg:g} of {result.kimg:g} kimg, score {best.score:.2f}"
    return Outcome({"trained_kimg": result.kimg, **asdict(best), "headline": headline}, pictures)


@dataclass(frozen=True)
class _Scored:
    """The curve of a fine-tuning, and the same faces at each of its points."""

    curve: tuple[SnapshotScore, ...]
    frames: tuple[tuple[float, Images], ...]


def _scored(step: Step, original: Generator, result: GanResult, config: SnapshotChoiceConfig) -> _Scored:
    """Every snapshot's score, logged as it comes; after the training, from its files, so that a killed step repeats it.

    The first frame, at 0 kimg, is the original network's.
    """
    device, judges = torch.device(step.lease.accelerator), load_judges(step.input("judges"), step.lease.accelerator)
    frames = [(0.0, _drawn(original, TIME_LAPSE_ROWS))]
    curve: list[SnapshotScore] = []

    def generators() -> Iterator[tuple[float, Generator]]:
        for snapshot in result.snapshots:
            generator = load_snapshot(snapshot, result.weights.generator_config)
            frames.append((snapshot.kimg, _drawn(generator, TIME_LAPSE_ROWS)))
            yield snapshot.kimg, generator.to(device)

    count = step.counted("snapshots")
    seen_by = choice_judges(judges, step.partition)
    for point in score_snapshots(original.to(device), generators(), seen_by, config):
        curve.append(point)
        values = {f"snapshot/{name}": value for name, value in asdict(point).items() if name != "kimg"}
        step.run.metrics(values, round(point.kimg * 1000))
        count(len(curve), len(result.snapshots))
        if step.should_stop():
            raise Interrupted(f"{step.id} stopped while choosing a snapshot; the same command goes on from there")
    return _Scored(tuple(curve), tuple(frames))


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
        "devices": step.lease.count,
        "cards": step.lease.cards,
        "progress": step.progress,
        "stop": step.should_stop,
        "on_snapshot": on_snapshot,
    }


def _finished(step: Step, result: GanResult) -> GanResult:
    if not result.finished:
        raise Interrupted(f"{step.id} stopped after {result.kimg:g} kimg; the same command goes on from there")
    return result


def _faces(generator: Generator) -> Picture:
    return grid(_drawn(generator, GRID_IMAGES), GRID_COLUMNS)


def _drawn(generator: Generator, count: int) -> Images:
    """The same faces each time: what training changes is the networks alone."""
    return generator_sampler(generator, GRID_SEED, truncation_psi=0.8)(np.arange(count))
