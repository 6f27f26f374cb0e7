"""One iteration's pairs, a function of (seed, iteration)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.editor.config import EditorTrainingConfig
from training.pair_store import PairArrays
from training.sampling import image_order


class EditorBatch(NamedTuple):
    """Inputs of one iteration, still uint8 (a NamedTuple, so that Lightning moves its tensors to the device)."""

    iteration: int
    original: Tensor  # N×3×H×W
    target: Tensor  # N×3×H×W
    mask: Tensor  # N×1×H×W, 255 = may change


@dataclass(frozen=True)
class EditorBatches:
    """Batches from iteration `first` to the last; each pair once per pass, in an order drawn for that pass."""

    config: EditorTrainingConfig
    pairs: PairArrays
    first: int = 0

    def __iter__(self) -> Iterator[EditorBatch]:
        for iteration in range(self.first, self.config.iterations):
            yield self.batch(iteration)

    def __len__(self) -> int:
        return max(0, self.config.iterations - self.first)

    def batch(self, iteration: int) -> EditorBatch:
        """The pairs of one iteration."""
        rows = image_order(self.config.seed, iteration, self.config.batch_size, len(self.pairs))
        original, target = _nchw(self.pairs.originals[rows]), _nchw(self.pairs.targets[rows])
        return EditorBatch(iteration, original, target, torch.from_numpy(self.pairs.masks[rows])[:, None])


def _nchw(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)  # N×H×W×3 → N×3×H×W, channels last in memory
