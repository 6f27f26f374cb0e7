"""Seeded draws: every number is a function of (seed, purpose, index or iteration) alone, whatever the batch or device.

Philox is a counter generator: the key holds seed and purpose, the upper words of the counter say which row is drawn.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


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


def order_of_pass(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    """The order in which one pass shows the images, each once."""
    return draw(seed, Purpose.IMAGE_ORDER, epoch).permutation(images)


def image_order(seed: int, iteration: int, batch_size: int, images: int) -> NDArray[np.int64]:
    """Indices of the real images of one iteration: each image once per pass, in an order drawn for that pass."""
    places = iteration * batch_size + np.arange(batch_size)
    chosen = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(places // images):
        order = order_of_pass(seed, int(epoch), images)
        here = places // images == epoch
        chosen[here] = order[places[here] % images]
    return chosen


def iterations_of(kimg: float, batch_size: int) -> int:
    """Iterations in which `kimg` thousand images are shown, the last one complete; at least one."""
    return max(1, round(kimg * 1000 / batch_size))
