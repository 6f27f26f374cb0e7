"""Seeded latents and noise, each a function of (seed, index or iteration) alone, whatever the batch or device."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from training.draws import Purpose, draw


def latents(seed: int, indices: Tensor, z_dim: int, purpose: Purpose = Purpose.LATENTS) -> Tensor:
    """Latents z of the given indices: N → N×z_dim, float32 on the CPU; a row is a function of (seed, its index).

    Another `purpose` draws other latents.
    """
    rows = np.empty((len(indices), z_dim), dtype=np.float32)
    for row, index in enumerate(indices.tolist()):
        draw(seed, purpose, index).standard_normal(out=rows[row], dtype=np.float32)
    return torch.from_numpy(rows)


def layer_noise(
    seed: int, indices: Tensor, sizes: Mapping[str, int], purpose: Purpose = Purpose.LAYER_NOISE
) -> dict[str, Tensor]:
    """Noise of each layer for the given indices: N → {layer: N×1×h×w}, float32 on the CPU.

    `sizes` is a network's `layer_sizes`; a map is a function of (seed, index, layer), so that networks of different
    sizes agree on the layers they share.
    """
    noise = {name: np.empty((len(indices), 1, size, size), dtype=np.float32) for name, size in sizes.items()}
    for name, maps in noise.items():
        for row, index in enumerate(indices.tolist()):
            source = draw(seed, purpose, index, _layer_number(name))
            source.standard_normal(out=maps[row], dtype=np.float32)
    return {name: torch.from_numpy(maps) for name, maps in noise.items()}


def training_latents(seed: int, iteration: int, batch_size: int, z_dim: int) -> Tensor:
    """Latents z of one iteration: batch×z_dim."""
    source = draw(seed, Purpose.TRAINING_LATENTS, iteration)
    return torch.from_numpy(source.standard_normal((batch_size, z_dim), dtype=np.float32))


def training_noise(seed: int, iteration: int, batch_size: int, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Noise of each layer for one iteration: {layer: batch×1×h×w}."""
    source = draw(seed, Purpose.TRAINING_NOISE, iteration)
    return {
        name: torch.from_numpy(source.standard_normal((batch_size, 1, size, size), dtype=np.float32))
        for name, size in sizes.items()
    }


def _layer_number(name: str) -> int:
    size, conv = name.split("/")
    return 16 * int(size) + int(conv)
