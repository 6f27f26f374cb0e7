"""Untrained networks of the demo's shape: what is timed does not depend on what they have learnt."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.gan_batches import GanBatch, GanBatches
from training.gan_config import GanTrainingConfig
from training.stylegan2 import DiscriminatorConfig, Generator, GeneratorConfig
from training.weights_io import GanWeights, initial_weights

if TYPE_CHECKING:
    from orchestration.params import Params

IMAGES = 64


def gan_config(params: Params, **changes: object) -> GanTrainingConfig:
    """The settings that the demo's original network trains with, and its shapes."""
    section, size_px = params.original_network, params.aligned_images.size_px
    known = {k: v for k, v in section.model_dump().items() if k in GanTrainingConfig.model_fields}
    generator = GeneratorConfig(size_px=size_px, **section.network.model_dump())
    discriminator = DiscriminatorConfig(size_px=size_px, channels=generator.channels)
    shapes = {"generator": generator, "discriminator": discriminator}
    return GanTrainingConfig.model_validate({**known, **shapes, **changes})


def gan_weights(config: GanTrainingConfig) -> GanWeights:
    """Untrained weights of a configuration that names its shapes."""
    assert config.generator is not None and config.discriminator is not None
    return initial_weights(config.generator, config.discriminator, seed=0)


def gan_batches(config: GanTrainingConfig, count: int) -> list[GanBatch]:
    """The first `count` batches of a training on random images."""
    assert config.generator is not None
    side = config.generator.size_px
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    source = GanBatches(config, config.generator, images)
    return [source.batch(iteration) for iteration in range(count)]


@torch.no_grad()
def one_generator(config: GeneratorConfig) -> Generator:
    """An untrained generator that heeds its noise."""
    torch.manual_seed(0)
    network = Generator(config).requires_grad_(False)
    for name, parameter in network.synthesis.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.2)
    return network


@torch.no_grad()
def two_generators(config: GeneratorConfig) -> tuple[Generator, Generator]:
    """An original network and another with the same mapping."""
    original = one_generator(config)
    feature = copy.deepcopy(original)
    for parameter in feature.synthesis.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return original, feature
