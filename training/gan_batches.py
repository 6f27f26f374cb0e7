"""One iteration's inputs, each a function of (seed, iteration)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.distributed.ranks import SOLO, Ranks
from training.draws import Purpose, draw, image_order
from training.gan_config import GanTrainingConfig
from training.sampling import training_latents, training_noise
from training.stylegan2 import GeneratorConfig, layer_names, layer_sizes


class GanBatch(NamedTuple):
    """Inputs of one iteration (a NamedTuple, so that Lightning moves its tensors to the device)."""

    iteration: int
    images: Tensor  # N×3×H×W, uint8
    z: Tensor  # N×z_dim
    z_mixed: Tensor  # N×z_dim, the second latent of style mixing
    mixed_from: Tensor  # N, index of the first layer that takes the second latent; the number of layers = none
    noise: dict[str, Tensor]  # layer → N×1×h×w


@dataclass(frozen=True)
class GanBatches:
    """Batches from `first` to the last iteration of the training: of each, the rows that are this rank's."""

    config: GanTrainingConfig
    generator: GeneratorConfig
    images: NDArray[np.uint8]  # N×H×W×3
    first: int = 0
    ranks: Ranks = SOLO
    dtype: torch.dtype = torch.float32  # of latents and noise

    def __iter__(self) -> Iterator[GanBatch]:
        for iteration in range(self.first, self.config.iterations):
            yield self.batch(iteration)

    def __len__(self) -> int:
        return self.config.iterations - self.first

    def batch(self, iteration: int) -> GanBatch:
        """The inputs of one iteration."""
        config, shape = self.config, self.generator
        z = training_latents(config.seed, iteration, 2 * config.batch_size, shape.z_dim).to(self.dtype)
        noise = training_noise(config.seed, iteration, config.batch_size, layer_sizes(shape.size_px))
        return GanBatch(
            iteration=iteration,
            images=self._images(iteration),
            z=z[: config.batch_size][self._part],
            z_mixed=z[config.batch_size :][self._part],
            mixed_from=self._mixed_from(iteration)[self._part],
            noise={name: maps[self._part].to(self.dtype) for name, maps in noise.items()},
        )

    @property
    def _part(self) -> slice:
        return self.ranks.part(self.config.batch_size)

    def _images(self, iteration: int) -> Tensor:
        config = self.config
        order = image_order(config.seed, iteration, config.batch_size, len(self.images))
        rows = self.images[order[self._part]]
        if config.mirror:
            flipped = draw(config.seed, Purpose.MIRROR, iteration).random(config.batch_size) < 0.5
            rows[flipped[self._part]] = rows[flipped[self._part], :, ::-1]
        return torch.from_numpy(np.asarray(rows)).permute(0, 3, 1, 2)  # N×H×W×3 → N×3×H×W, channels last in memory

    def _mixed_from(self, iteration: int) -> Tensor:
        layers = len(layer_names(self.generator.size_px))
        source = draw(self.config.seed, Purpose.STYLE_MIXING, iteration)
        cut = source.integers(1, layers, self.config.batch_size)
        mixed = source.random(self.config.batch_size) < self.config.style_mixing
        return torch.from_numpy(np.where(mixed, cut, layers))
