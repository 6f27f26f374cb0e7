"""One iteration's pairs, a function of (seed, iteration)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.distributed.ranks import SOLO, Ranks
from training.draws import image_order
from training.editor.config import EditorTrainingConfig
from training.pair_store import PairReader


class EditorBatch(NamedTuple):
    """Inputs of one iteration, still uint8 (a NamedTuple, so that Lightning moves its tensors to the device)."""

    iteration: int
    original: Tensor  # N×3×H×W
    target: Tensor  # N×3×H×W
    mask: Tensor  # N×1×H×W, 255 = may change


@dataclass(frozen=True)
class EditorBatches:
    """Batches from iteration `first` to the last; each pair once per pass, in an order drawn for that pass.

    Of each batch the rows that are this rank's. A thread decodes the next batch while one is learnt from.
    """

    config: EditorTrainingConfig
    pairs: PairReader
    first: int = 0
    ranks: Ranks = SOLO

    def __iter__(self) -> Iterator[EditorBatch]:
        with ThreadPoolExecutor(1) as reader:
            upcoming = reader.submit(self.batch, self.first)
            for iteration in range(self.first, self.config.iterations):
                ready = upcoming.result()
                if iteration + 1 < self.config.iterations:
                    upcoming = reader.submit(self.batch, iteration + 1)
                yield ready

    def __len__(self) -> int:
        return max(0, self.config.iterations - self.first)

    def batch(self, iteration: int) -> EditorBatch:
        """The pairs of one iteration."""
        rows = image_order(self.config.seed, iteration, self.config.batch_size, len(self.pairs))
        pairs = self.pairs.batch(rows[self.ranks.part(self.config.batch_size)])
        return EditorBatch(
            iteration, _nchw(pairs.originals), _nchw(pairs.targets), torch.from_numpy(pairs.masks)[:, None]
        )


def _nchw(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)  # N×H×W×3 → N×3×H×W, channels last in memory
