"""Seeded draws: every number is a function of (seed, purpose, index or iteration) alone, whatever the batch or device.

Philox is a counter generator: the key holds seed and purpose, the upper words of the counter say which row is drawn.
"""

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Purpose(IntEnum):
    """What a draw is for: draws of two purposes never share a number."""

    LATENTS = 1
    LAYER_NOISE = 2
    TRAINING_LATENTS = 3
    TRAINING_NOISE = 4
    IMAGE_ORDER = 5
    MIRROR = 6
    AUGMENTATION = 7
    STYLE_MIXING = 8
    CHOICE_LATENTS = 9
    CHOICE_NOISE = 10
    JUDGED_VIEW = 11


def draw(seed: int, purpose: Purpose, row: int = 0, column: int = 0) -> np.random.Generator:
    """A generator at the beginning of the stream of (seed, purpose, row, column)."""
    key = np.array([seed, purpose], dtype=np.uint64)
    counter = np.array([0, 0, column, row], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


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


def image_order(seed: int, iteration: int, batch_size: int, images: int) -> NDArray[np.int64]:
    """Indices of the real images of one iteration: each image once per pass, in an order drawn for that pass."""
    places = iteration * batch_size + np.arange(batch_size)
    chosen = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(places // images):
        order = draw(seed, Purpose.IMAGE_ORDER, int(epoch)).permutation(images)
        here = places // images == epoch
        chosen[here] = order[places[here] % images]
    return chosen


def _layer_number(name: str) -> int:
    size, conv = name.split("/")
    return 16 * int(size) + int(conv)
