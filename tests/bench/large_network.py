"""StyleGAN2's config F at 1024 px in this process: `large_network.py forward|fused|step [THREADS]` prints its seconds.

Channels of arXiv 1912.04958 (config F). Untrained weights; bf16 features, as the demo trains.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch
from demo_networks import one_generator, two_generators
from peak_memory import peak_mb
from plain_training import PlainTraining

from training.allocator import keep_freed_memory
from training.fusion import fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec
from training.gan_batches import GanBatch
from training.gan_config import GanTrainingConfig
from training.joint_mask import ParserMask
from training.judges import load_judges, shipped_judges_dir
from training.sampling import latents, layer_noise
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig
from training.weights_io import initial_weights

SIZE_PX, LAYER = 1024, "64/2"
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
GENERATOR = GeneratorConfig(size_px=SIZE_PX, channels=CHANNELS, z_dim=512, w_dim=512, mapping_layers=8)
DISCRIMINATOR = DiscriminatorConfig(size_px=SIZE_PX, channels=CHANNELS)
BATCH = 2


def forward() -> Callable[[], object]:
    """One image of the generator."""
    original = one_generator(GENERATOR)
    one = torch.arange(1)
    z, noise = latents(0, one, 512), layer_noise(0, one, original.synthesis.layer_sizes)
    return torch.no_grad()(lambda: original(z, noise, dtype=torch.bfloat16))


def fused() -> Callable[[], object]:
    """One fused edit at 64×64 features, masks by the shipped parser from the end layers."""
    original, feature = two_generators(GENERATOR)
    parser = ParserMask(load_judges(shipped_judges_dir()).parser_train, ("hair",), SIZE_PX // 64)
    config = FusionConfig(layers=(LayerSpec(layer=LAYER, a=0.1),))
    one = torch.arange(1)
    ws, noise = original.mapping(latents(0, one, 512)), layer_noise(0, one, original.synthesis.layer_sizes)
    return torch.no_grad()(lambda: fused_batch(original, feature, ws, noise, parser, config, dtype=torch.bfloat16))


def step() -> Callable[[], object]:
    """One training step of G and D with the gradient penalty, batch 2."""
    keep_freed_memory()
    config = GanTrainingConfig(batch_size=BATCH, generator=GENERATOR, discriminator=DISCRIMINATOR)
    training = PlainTraining(config, initial_weights(GENERATOR, DISCRIMINATOR, seed=0))
    images = torch.zeros(BATCH, 3, SIZE_PX, SIZE_PX, dtype=torch.uint8).random_(0, 256)
    z, none = torch.randn(BATCH, 512), torch.full((BATCH,), len(training.g.synthesis.layer_names))
    noise = layer_noise(0, torch.arange(BATCH), training.g.synthesis.layer_sizes)
    return lambda: training.step(GanBatch(0, images, z, z, none, noise))


def main(what: str, threads: int) -> None:
    """Run it once, not counting what comes before it."""
    torch.set_num_threads(threads)
    run = {"forward": forward, "fused": fused, "step": step}[what]()
    started = time.perf_counter()
    run()
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
