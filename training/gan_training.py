"""Train a GAN: resumable at any iteration, stopped cleanly by a signal, with checkpoints and snapshots in a folder."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from data.errors import UserError
from training.distributed.callbacks import Alike
from training.distributed.ranks import Ranks
from training.distributed.sharing import check_shared
from training.fitting import cpu_threads, fit
from training.gan_callbacks import Checkpoints, CleanStop, Reports, SnapshotFn, Snapshots, snapshot_files
from training.gan_config import GanTrainingConfig
from training.gan_module import GanModule
from training.gan_rank import gan_ranks
from training.progress import ProgressFn
from training.stylegan2 import DiscriminatorConfig, Generator, GeneratorConfig
from training.weights_io import GanWeights, initial_weights

# Settings that may change between two runs in one folder without making it another training.
_RUNTIME_FIELDS = {"kimg", "threads", "snapshot_kimg", "checkpoint_every_s"}


@dataclass(frozen=True)
class Snapshot:
    """The averaged generator after `kimg` thousand images, in a safetensors file."""

    kimg: float
    path: Path


@dataclass(frozen=True)
class GanResult:
    """What a training left: `finished` is false where it was stopped on the way, to be continued by the same call."""

    weights: GanWeights
    iterations: int
    kimg: float
    finished: bool
    ada_p: float
    snapshots: tuple[Snapshot, ...]


def train_gan(
    config: GanTrainingConfig,
    images: NDArray[np.uint8],
    workdir: Path,
    *,
    start: GanWeights | None = None,
    freeze_mapping: bool = False,
    accelerator: str = "cpu",
    devices: int = 1,
    cards: tuple[str, ...] = (),
    progress: ProgressFn | None = None,
    stop: Callable[[], bool] | None = None,
    on_snapshot: SnapshotFn | None = None,
) -> GanResult:
    """Train from `start` (or from nothing) and return the networks; the same call again goes on where it stopped.

    images: N×H×W×3 uint8 RGB, an array or a memory map. `accelerator` is Lightning's name (cpu, gpu, auto). `workdir`
    holds `checkpoints/` (the last two) and `snapshots/`. With `freeze_mapping` (the feature network, METHODS A3) G
    starts from the average, whose mapping it then shares. SIGTERM, SIGINT or `stop()` end it after the iteration,
    with a checkpoint. `on_snapshot(kimg, generator)` may run a second time for a snapshot after a resumption.

    Over several `devices` as many processes train: this one, and others that end with it. The batch is shared out among
    them, so that the networks are those of one device but for rounding; a training goes on over as many as it began
    with. `cards` are the names by which CUDA_VISIBLE_DEVICES knows them, this process's own first.

    Raises UserError where images, networks and devices do not fit, or `workdir` holds another training; RankDiedError
    where one of the other processes ended: the same call goes on from the last checkpoint.
    """
    _check_images(images)
    weights = start if start is not None else _untrained(config, images.shape[1])
    if freeze_mapping:
        weights = GanWeights(*_shapes(weights), weights.generator_ema, weights.generator_ema, weights.discriminator)
    _check_size(weights.generator_config, images)
    _check_sharing(config.batch_size, devices, weights.discriminator_config.group_size)
    with cpu_threads(config.threads):
        module = GanModule(config, weights, freeze_mapping, Ranks(0, devices))
        identity = _identity(module, weights, images)
        checkpoints = Checkpoints(workdir / "checkpoints", config.checkpoint_every_s, identity)
        checkpoints.restore_latest(module)
        watched = [Snapshots(workdir / "snapshots", on_snapshot), Reports(progress), checkpoints]
        callbacks = [Alike(module.ranks), *watched, CleanStop(stop, module.ranks)]
        if module.iteration < config.iterations:
            with gan_ranks(module, images, workdir / "ranks", accelerator, cards):
                fit(module, module.batches(images), callbacks, accelerator, config.threads, module.ranks)
    return _result(module, workdir)


def load_snapshot(snapshot: Snapshot, config: GeneratorConfig) -> Generator:
    """The generator of a snapshot, frozen, on the CPU."""
    network = Generator(config)
    network.load_state_dict(load_file(snapshot.path))
    return network.eval().requires_grad_(False)


def _result(module: GanModule, workdir: Path) -> GanResult:
    kimg_each = module.config.batch_size / 1000
    files = snapshot_files(workdir / "snapshots", module.iteration)
    return GanResult(
        weights=module.weights(),
        iterations=module.iteration,
        kimg=module.iteration * kimg_each,
        finished=module.iteration >= module.config.iterations,
        ada_p=module.ada_p,
        snapshots=tuple(Snapshot(iteration * kimg_each, path) for iteration, path in files),
    )


def _untrained(config: GanTrainingConfig, size_px: int) -> GanWeights:
    generator = config.generator or GeneratorConfig(size_px=size_px)
    return initial_weights(generator, config.discriminator or DiscriminatorConfig(size_px=size_px), config.seed)


def _shapes(weights: GanWeights) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    return weights.generator_config, weights.discriminator_config


def _check_sharing(batch_size: int, devices: int, group_size: int) -> None:
    """Each device must hold whole groups of the discriminator's minibatch deviation, or it would compare others."""
    group = math.gcd(2 * batch_size, group_size)  # D is given real and generated images at once
    check_shared(batch_size, devices, group, group_size)


def _check_images(images: NDArray[np.uint8]) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype} of shape {images.shape}, expected uint8 of N×H×W×3")
    if not len(images):
        raise UserError("There is no image to train on.", "Check what ingest let through.")


def _check_size(config: GeneratorConfig, images: NDArray[np.uint8]) -> None:
    size_px = config.size_px
    if images.shape[1:3] != (size_px, size_px):
        raise UserError(
            f"The images are {images.shape[2]}×{images.shape[1]} px, the network draws {size_px}×{size_px} px.",
            "Align the images at the network's size, or start from a network of theirs.",
        )


def _identity(module: GanModule, weights: GanWeights, images: NDArray[np.uint8]) -> str:
    """Digest of everything that makes this training the one it is: settings, images, start, frozen parts."""
    digest = hashlib.sha256(module.config.model_dump_json(exclude=_RUNTIME_FIELDS).encode())
    digest.update(f"{_shapes(weights)!r} {module.freeze_mapping} {images.shape}".encode())
    if module.ranks.count > 1:  # each number of devices rounds its own way
        digest.update(f"{module.ranks.count} devices".encode())
    for first in range(0, len(images), 4096):
        digest.update(images[first : first + 4096].tobytes())
    for state in (weights.generator, weights.generator_ema, weights.discriminator):
        for name in sorted(state):
            digest.update(state[name].numpy().tobytes())
    return digest.hexdigest()
