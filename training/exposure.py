"""In which iterations a training showed an image: computed, for a batch is a function of (seed, iteration)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.draws import order_of_pass


def iterations_drawing(seed: int, batch_size: int, images: int, index: int, first: int, last: int) -> NDArray[np.int64]:
    """The iterations in [first, last), rising, whose batch of `training.draws.image_order` holds image `index`.

    One order is drawn per pass over the `images`, not per iteration. Raises ValueError for an index beyond them.
    """
    if not 0 <= index < images:
        raise ValueError(f"image {index} of {images}")
    if first >= last:
        return np.empty(0, np.int64)
    passes = range(first * batch_size // images, (last * batch_size - 1) // images + 1)
    places = [each * images + _place(seed, each, images, index) for each in passes]
    drawn = np.unique(np.asarray(places, np.int64) // batch_size)
    return drawn[(drawn >= first) & (drawn < last)]


def _place(seed: int, epoch: int, images: int, index: int) -> int:
    return int(np.flatnonzero(order_of_pass(seed, epoch, images) == index)[0])
