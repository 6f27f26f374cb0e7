"""What the product is timed against computes the same: else a ratio of times would say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from orchestration.params import load_params
from tests.bench.arithmetic import flops_of
from tests.bench.demo_networks import gan_batches, gan_config, gan_weights, two_generators
from tests.bench.grouped_stylegan2 import GroupedTraining
from tests.bench.plain_training import PlainTraining
from tests.bench.three_passes import three_passes
from training.fusion import fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec
from training.gan_config import GanTrainingConfig
from training.joint_mask import resize_mask
from training.sampling import latents, layer_noise
from training.stylegan2 import GeneratorConfig

REPOSITORY = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4  # float32: sums of some hundred products in another order


@pytest.fixture(scope="module")
def config() -> GanTrainingConfig:
    """The demo's training, in float32 and small batches."""
    params = load_params(REPOSITORY / "orchestration" / "presets" / "demo.yaml")
    return gan_config(params, precision="fp32", batch_size=4, warmup_kimg=0)


def test_grouped_networks_give_the_products_outputs(config: GanTrainingConfig) -> None:
    weights = gan_weights(config)
    ours, grouped = PlainTraining(config, weights), GroupedTraining(config, weights, own_latents=False)
    (batch,) = gan_batches(config, 1)
    with torch.no_grad():
        for network in (ours.g, grouped.g):
            for name, parameter in network.named_parameters():
                if name.endswith(("noise_strength", "bias")):  # they start where they would not be seen
                    parameter.add_(0.1)
        images = ours.generate(batch)
        theirs = grouped.g.synthesis(grouped.g.mapping(batch.z), batch.noise, torch.float32)
        assert torch.allclose(images, theirs, rtol=0, atol=TOLERANCE)
        assert torch.allclose(ours.d(images), grouped.d(images), rtol=0, atol=TOLERANCE)
        assert images.std() > 0.1  # they are no blank pages


def test_grouped_step_has_the_products_losses(config: GanTrainingConfig) -> None:
    """The first iteration, with the lazy penalty, and those after it: what the optimizers did shows in them."""
    weights = gan_weights(config)
    ours, grouped = PlainTraining(config, weights), GroupedTraining(config, weights, own_latents=False)
    for batch in gan_batches(config, 3):
        ours.step(batch)
        grouped.step(batch)
        for name, loss in grouped.losses.items():
            # Adam divides by a gradient's size, so that the rounding of small ones grows from step to step.
            assert torch.allclose(ours.losses[name], loss, rtol=1e-3, atol=TOLERANCE), (batch.iteration, name)
    assert set(grouped.losses) == {"loss_d", "loss_g", "r1"}


@pytest.mark.parametrize("layer", ["8/2", "16/2"])
@pytest.mark.parametrize("ends", [True, False])
def test_three_passes_give_the_products_pairs(layer: str, ends: bool) -> None:
    original, feature = two_generators(GeneratorConfig(size_px=32))
    indices = torch.arange(3)
    ws = original.mapping(latents(0, indices, 64))
    noise = layer_noise(0, indices, original.synthesis.layer_sizes)
    seen = (None, None) if ends else (layer, layer)
    config = FusionConfig(layers=(LayerSpec(layer=layer, a=0.1),), mask_layers=seen)

    def brightness(images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(images.mean(dim=1, keepdim=True))

    fused = fused_batch(original, feature, ws, noise, brightness, config)
    first, target, mask = three_passes(original, feature, ws, noise, brightness, config)
    assert torch.equal(fused.original, first)
    assert torch.allclose(fused.target, target, rtol=0, atol=1e-5)
    assert torch.allclose(fused.mask, resize_mask(mask, 32), rtol=0, atol=1e-6)
    assert (fused.target - fused.original).abs().mean() > 0.01


def test_operations_are_counted_as_by_hand() -> None:
    """Two for each multiply-add: a 3×3 convolution with its two gradients, then a grouped one."""
    images = torch.zeros(2, 3, 8, 8, requires_grad=True)
    kernel = torch.zeros(5, 3, 3, 3, requires_grad=True)
    once = 2 * (2 * 8 * 8) * 5 * (3 * 9)
    assert flops_of(lambda: F.conv2d(images, kernel, padding=1).sum().backward()) == 3 * once
    grouped = torch.zeros(6, 1, 4, 4)
    assert flops_of(lambda: F.conv2d(torch.zeros(2, 6, 8, 8), grouped, groups=6)) == 2 * (2 * 5 * 5) * 6 * 16
