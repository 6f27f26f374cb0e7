"""Weights of a trained GAN on disk: safetensors in float32 and one JSON of shapes. Needs no Lightning."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data.errors import UserError
from training.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig

StateDict = dict[str, Tensor]
NETWORK_FILE = "network.json"
EMA_FILE, RAW_FILE = "generator.safetensors", "generator_raw.safetensors"
DISCRIMINATOR_FILE = "discriminator.safetensors"
_KEYS: dict[type, str] = {GeneratorConfig: "generator", DiscriminatorConfig: "discriminator"}

_Shape = TypeVar("_Shape", GeneratorConfig, DiscriminatorConfig)


@dataclass(frozen=True)
class GanWeights:
    """The three networks of a training: the generator, its moving average (the one to use), the discriminator."""

    generator_config: GeneratorConfig
    discriminator_config: DiscriminatorConfig
    generator: StateDict
    generator_ema: StateDict
    discriminator: StateDict

    def build_generator(self) -> Generator:
        """The averaged generator, frozen, on the CPU."""
        network = Generator(self.generator_config)
        network.load_state_dict(self.generator_ema)
        return network.eval().requires_grad_(False)


def initial_weights(generator: GeneratorConfig, discriminator: DiscriminatorConfig, seed: int) -> GanWeights:
    """Untrained weights: a function of the shapes and the seed. Raises ValueError where the image sizes differ."""
    if generator.size_px != discriminator.size_px:
        raise ValueError(f"G draws {generator.size_px} px, D reads {discriminator.size_px} px: expected one size")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        g, d = state_of(Generator(generator)), state_of(Discriminator(discriminator))
    return GanWeights(generator, discriminator, g, copy.deepcopy(g), d)


def state_of(network: nn.Module) -> StateDict:
    """A network's parameters and buffers on the CPU, sorted by name, apart from the network's own memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(network.state_dict().items())}


def save_gan(directory: Path, weights: GanWeights) -> None:
    """Write `network.json` and the three safetensors files into `directory`, made where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    shapes = {
        "generator": weights.generator_config.model_dump(mode="json"),
        "discriminator": weights.discriminator_config.model_dump(mode="json"),
    }
    _write_shapes(directory, shapes)
    save_file(weights.generator_ema, directory / EMA_FILE)
    save_file(weights.generator, directory / RAW_FILE)
    save_file(weights.discriminator, directory / DISCRIMINATOR_FILE)


def save_generator(directory: Path, network: Generator) -> None:
    """Write a generator alone, `network.json` and one safetensors file, into `directory`: what `load_generator` reads.

    Nobody trains on from here, so there is no discriminator.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_shapes(directory, {"generator": network.config.model_dump(mode="json")})
    save_file(state_of(network), directory / EMA_FILE)


def load_gan(directory: Path) -> GanWeights:
    """Read what `save_gan` wrote; raises UserError that names the file which is missing or damaged."""
    shapes = directory / NETWORK_FILE
    generator, discriminator = _read_shape(shapes, GeneratorConfig), _read_shape(shapes, DiscriminatorConfig)
    ema, raw = _read_weights(directory / EMA_FILE), _read_weights(directory / RAW_FILE)
    return GanWeights(generator, discriminator, raw, ema, _read_weights(directory / DISCRIMINATOR_FILE))


def load_generator(directory: Path) -> Generator:
    """The averaged generator of `directory`, frozen, on the CPU: all that pairs and images need."""
    network = Generator(_read_shape(directory / NETWORK_FILE, GeneratorConfig))
    network.load_state_dict(_read_weights(directory / EMA_FILE))
    return network.eval().requires_grad_(False)


def _write_shapes(directory: Path, shapes: Mapping[str, object]) -> None:
    (directory / NETWORK_FILE).write_text(json.dumps(shapes, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read_shape(path: Path, kind: type[_Shape]) -> _Shape:
    """The shape of one network; raises UserError where the file does not describe it."""
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8"))[_KEYS[kind]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a readable description of a GAN ({error}).", "Make the network again.") from error


def _read_weights(path: Path) -> StateDict:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}).", "Make the network again.") from error
