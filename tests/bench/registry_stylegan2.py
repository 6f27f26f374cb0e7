"""The StyleGAN2 of a package in the registry, labml-nn (MIT), trained as its own script does, at our size.

Its nearest configuration has our channels. What differs is its own: style blocks without the paper's resampling order,
no minibatch groups, a 2×2 end of the discriminator, 0…1 images, float32 only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.gan_batches import GanBatch
from training.gan_config import GanTrainingConfig
from training.gan_losses import discriminator_loss, generator_loss
from training.stylegan2 import GeneratorConfig


class RegistryTraining:
    """One iteration after another: D, the lazy penalty, G; the images for D are drawn anew, as its script does.

    Raises ImportError where the package is not installed, ValueError for channels that it cannot have.
    """

    def __init__(self, config: GanTrainingConfig, shape: GeneratorConfig) -> None:
        from labml_nn.gan.stylegan import Discriminator, Generator, GradientPenalty, MappingNetwork

        first, largest = shape.channels[shape.size_px], max(shape.channels.values())
        falling = [min(largest, first * 2**step) for step in range(len(shape.channels))]
        if falling != [shape.channels[size] for size in sorted(shape.channels, reverse=True)]:
            raise ValueError(f"channels are {shape.channels}, expected them to double up to a limit")
        log_size = shape.size_px.bit_length() - 1
        self.config, self.penalty = config, GradientPenalty()
        self.g = Generator(log_size, shape.w_dim, first, largest)
        self.mapping = MappingNetwork(shape.w_dim, shape.mapping_layers)
        self.d = Discriminator(log_size, first, largest)
        generating = [*self.g.parameters(), *self.mapping.parameters()]
        self.optimizer_g = torch.optim.Adam(generating, config.lr, betas=(0.0, 0.99), fused=True)
        self.optimizer_d = torch.optim.Adam(self.d.parameters(), config.lr, betas=(0.0, 0.99), fused=True)

    def step(self, batch: GanBatch) -> None:
        """Train on one batch."""
        real = batch.images.contiguous().float() / 255
        with torch.no_grad():
            fake = self._generate(batch.z_mixed, batch.noise)
        self._update(self.optimizer_d, discriminator_loss(self.d(real), self.d(fake)))
        if batch.iteration % self.config.r1_interval == 0:
            images = real.requires_grad_(True)
            weight = self.config.r1_gamma / 2 * self.config.r1_interval
            self._update(self.optimizer_d, weight * self.penalty(images, self.d(images)))
        self._update(self.optimizer_g, generator_loss(self.d(self._generate(batch.z, batch.noise))))

    def _generate(self, z: Tensor, noise: dict[str, Tensor]) -> Tensor:
        w = self.mapping(F.normalize(z, dim=1))
        sides = sorted({int(name.split("/")[0]) for name in noise})
        pairs = [(noise.get(f"{side}/1"), noise.get(f"{side}/2", noise["4/1"])) for side in sides]
        images: Tensor = self.g(w[None].expand(self.g.n_blocks, -1, -1), pairs)
        return images

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        loss.backward(inputs=[p for p in parameters if p.requires_grad])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
