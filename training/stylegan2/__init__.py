"""StyleGAN2 (Karras et al., arXiv 1912.04958): mapping, layer-addressable synthesis, residual discriminator."""

from training.stylegan2.architecture import DiscriminatorConfig, GeneratorConfig, layer_names, layer_sizes
from training.stylegan2.discriminator import Discriminator
from training.stylegan2.generator import Generator
from training.stylegan2.mapping import Mapping
from training.stylegan2.synthesis import Synthesis, SynthesisState

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "Mapping",
    "Synthesis",
    "SynthesisState",
    "layer_names",
    "layer_sizes",
]
