"""The product's training step without Lightning's loop: what is timed and counted is the step alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from training.gan_batches import GanBatch
from training.gan_config import GanTrainingConfig
from training.gan_module import GanModule
from training.weights_io import GanWeights


class PlainTraining(GanModule):
    """The module as it is, its backward pass called directly."""

    def __init__(self, config: GanTrainingConfig, weights: GanWeights) -> None:
        super().__init__(config, weights, freeze_mapping=False)

    def step(self, batch: GanBatch) -> None:
        """Train on one batch."""
        self.training_step(batch, 0)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lightning's would ask for a trainer."""
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
