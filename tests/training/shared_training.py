"""Trainings that one process and two make alike, in float64: what rounding leaves of the difference is tiny."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.checkpoint_io import SafetensorsCheckpointIO
from training.checkpoints import numbered_files
from training.editor.augment import AugmentConfig
from training.editor.config import EditorTrainingConfig
from training.gan_config import GanTrainingConfig
from training.pair_store import PairMeasures, encode_pair, write_pairs
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig

ITERATIONS, BATCH = 20, 16
CHANNELS = {4: 8, 8: 8, 16: 8}
GAN = GanTrainingConfig(
    kimg=ITERATIONS * BATCH / 1000, batch_size=BATCH, precision="fp64", r1_interval=4, augment="ada", ada_kimg=0.2,
    ada_target=0.01, style_mixing=0.5, mirror=True, threads=1, snapshot_kimg=0.16, checkpoint_every_s=3600,
    generator=GeneratorConfig(size_px=16, channels=CHANNELS, z_dim=8, w_dim=8, mapping_layers=2),
    discriminator=DiscriminatorConfig(size_px=16, channels=CHANNELS),
)  # fmt: skip
EDITOR = EditorTrainingConfig(
    attribute="beard", kimg=ITERATIONS * BATCH / 1000, batch_size=BATCH, precision="fp64", channels=(8, 8, 8),
    detail_channels=4, adversarial_from=0.3, attribute_weight=0.2, identity_weight=0.5, threads=1,
    checkpoint_every_s=3600, augment=AugmentConfig(flip=True),
)  # fmt: skip


def training_images() -> NDArray[np.uint8]:
    """50 images of 16 px, N×H×W×3, each of a colour of its own with noise on it."""
    rng = np.random.default_rng(0)
    plain = rng.integers(40, 216, (50, 1, 1, 3))
    return (plain + rng.integers(-40, 40, (50, 16, 16, 3))).astype(np.uint8)


def training_pairs(directory: Path) -> Path:
    """40 pairs of 32 px with masks of many sizes, so that no two ranks' masks cover the same area."""
    rng = np.random.default_rng(0)
    measures = {field.name: 0 for field in fields(PairMeasures)}
    stored = []
    for index in range(40):
        original = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[: rng.integers(1, 32), : rng.integers(1, 32)] = 255
        target = np.where(mask[..., None] > 0, np.uint8(200), original)
        stored.append(encode_pair(original, target, mask, PairMeasures(**measures | {"index": index})))
    write_pairs(directory, stored)
    return directory


def last_state(workdir: Path) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint, the optimizers' included, by its place in the state."""
    state = SafetensorsCheckpointIO().load_checkpoint(numbered_files(workdir / "checkpoints")[-1][1])
    return dict(_tensors(state["training"], ""))


def largest_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """The largest difference of two states, each tensor's relative to its largest value, or to 0.01 where that is less.

    The editor's `look_up.bias` moves nothing (a softmax stands behind it): its gradient is rounding alone, which Adam
    divides by itself, and it walks about at 1e-13.
    """
    assert ours.keys() == theirs.keys()
    return max(_relative(ours[name].double(), theirs[name].double()) for name in ours)


def other_ranks() -> list[psutil.Process]:
    """The processes that this one started to train beside it."""
    return [child for child in psutil.Process().children() if any("rank" in word for word in child.cmdline())]


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max().clamp_min(1e-2)) if a.numel() else 0.0


def _tensors(state: Any, place: str) -> list[tuple[str, Tensor]]:
    if isinstance(state, torch.Tensor):
        return [(place, state)]
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else ()
    return [found for key, value in items for found in _tensors(value, f"{place}/{key}")]
