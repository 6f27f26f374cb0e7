"""The networks compute what the papers' formulas say, and a paused run is the run."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.sampling import latents, layer_noise
from training.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, layer_names
from training.stylegan2.layers import SLOPE, blur_kernel
from training.stylegan2.synthesis import SynthesisLayer

CONFIG = GeneratorConfig(size_px=32, channels={4: 12, 8: 10, 16: 8, 32: 6}, z_dim=16, w_dim=16, mapping_layers=2)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(CONFIG)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)  # 0 at the start: noise would go unnoticed
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def inputs(generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
    indices = torch.arange(3)
    w = generator.mapping(latents(1, indices, CONFIG.z_dim))
    return w, layer_noise(1, indices, generator.synthesis.layer_sizes)


def modulated_by_kernels(layer: SynthesisLayer, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    """Equations 1 and 3 of arXiv 1912.04958 as written: one scaled kernel per image."""
    style, images = layer.affine(w), []
    for row in range(len(x)):
        kernel = layer.weight * layer.weight_gain
        scale = style[row][:, None] if layer.up else style[row][None]
        kernel = kernel * scale[:, :, None, None]
        kernel = kernel / (kernel.square().sum(dim=(0 if layer.up else 1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            taps = 4.0 * blur_kernel().expand(kernel.shape[1], 1, 4, 4)
            y = F.conv2d(F.conv_transpose2d(x[row : row + 1], kernel, stride=2), taps, padding=1, groups=len(taps))
        else:
            y = F.conv2d(x[row : row + 1], kernel, padding=1)
        y = y + layer.noise_strength * noise[row : row + 1] + layer.bias[None, :, None, None]
        images.append(F.leaky_relu(y, SLOPE) * 2**0.5)
    return torch.cat(images)


@pytest.mark.parametrize("up", [False, True])
def test_scaling_input_and_output_is_scaling_the_kernels(up: bool) -> None:
    torch.manual_seed(0)
    layer = SynthesisLayer(6, 5, 16, up=up).requires_grad_(False)
    layer.noise_strength.fill_(0.5)
    layer.bias.normal_()
    size = 16 if up else 8
    x, w, noise = torch.randn(3, 6, 8, 8), torch.randn(3, 16), torch.randn(3, 1, size, size)
    # 1e-5: sums of 54 float32 products in another order
    torch.testing.assert_close(layer(x, w, noise), modulated_by_kernels(layer, x, w, noise), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("until", layer_names(CONFIG.size_px))
def test_paused_run_equals_the_whole_run_bit_for_bit(
    generator: Generator, inputs: tuple[Tensor, dict[str, Tensor]], until: str
) -> None:
    w, noise = inputs
    synthesis = generator.synthesis
    state = synthesis.advance(synthesis.start(w, noise), w, noise, until)
    assert state.features.shape[-1] == synthesis.layer_sizes[until]
    assert torch.equal(synthesis.finish(state, w, noise), synthesis(w, noise))


def test_running_rgb_grows_with_each_resolution(generator: Generator, inputs: tuple[Tensor, dict[str, Tensor]]) -> None:
    w, noise = inputs
    synthesis = generator.synthesis
    state, sizes = synthesis.start(w, noise), []
    for name in synthesis.layer_names:
        state = synthesis.advance(state, w, noise, name)
        sizes.append(state.rgb_running.shape[-1])
    assert sizes == [4, 4, 8, 8, 16, 16, 32]  # a resolution's RGB joins after its second layer


def test_layer_behind_or_unknown_is_refused(generator: Generator, inputs: tuple[Tensor, dict[str, Tensor]]) -> None:
    w, noise = inputs
    state = generator.synthesis.advance(generator.synthesis.start(w, noise), w, noise, "16/1")
    with pytest.raises(ValueError, match="already run"):
        generator.synthesis.advance(state, w, noise, "8/2")
    with pytest.raises(ValueError, match="unknown layer '64/1'"):
        generator.synthesis.advance(state, w, noise, "64/1")


def test_repeated_w_plus_is_w_and_one_entry_moves_its_layer_alone(
    generator: Generator, inputs: tuple[Tensor, dict[str, Tensor]]
) -> None:
    w, noise = inputs
    synthesis = generator.synthesis
    w_plus = w[:, None].repeat(1, len(synthesis.layer_names), 1)
    assert torch.equal(synthesis(w_plus, noise), synthesis(w, noise))
    w_plus[:, synthesis.layer_index("32/1")] += 1.0
    before = synthesis.advance(synthesis.start(w, noise), w, noise, "16/2")
    after = synthesis.advance(synthesis.start(w_plus, noise), w_plus, noise, "16/2")
    assert torch.equal(before.features, after.features)
    assert not torch.equal(synthesis(w_plus, noise), synthesis(w, noise))
    with pytest.raises(ValueError, match="expected N×w_dim"):
        synthesis(w_plus[:, :3], noise)


def test_truncation_pulls_w_to_its_mean(generator: Generator) -> None:
    z = latents(0, torch.arange(4), CONFIG.z_dim)
    w, mean = generator.mapping(z), generator.mapping.w_avg
    torch.testing.assert_close(generator.mapping(z, 0.5), mean + 0.5 * (w - mean))
    assert torch.equal(generator.mapping(z, 0.0), mean.expand_as(w))


def test_bf16_features_give_nearly_the_float32_image(
    generator: Generator, inputs: tuple[Tensor, dict[str, Tensor]]
) -> None:
    w, noise = inputs
    exact, coarse = generator.synthesis(w, noise), generator.synthesis(w, noise, torch.bfloat16)
    assert coarse.dtype == torch.float32
    # bfloat16 keeps 8 bits: 0.4 % per operation, over 7 layers
    assert (exact - coarse).abs().mean() < 0.02 * exact.abs().mean()


def test_discriminator_groups_never_mix_two_batches() -> None:
    torch.manual_seed(0)
    network = Discriminator(DiscriminatorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8})).requires_grad_(False)
    real, fake = torch.randn(8, 3, 16, 16), torch.randn(8, 3, 16, 16)
    together = network(torch.cat([real, fake]))
    # 1e-5: the library may block a larger batch otherwise
    torch.testing.assert_close(together, torch.cat([network(real), network(fake)]), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(network(real)[:4], network(torch.cat([real[:2], fake[:2]]))[[0, 1, 2, 3]])


def test_shapes_survive_json_and_wrong_ones_are_refused() -> None:
    assert GeneratorConfig.model_validate_json(CONFIG.model_dump_json()) == CONFIG
    with pytest.raises(ValueError, match="power of two"):
        GeneratorConfig(size_px=48)
    with pytest.raises(ValueError, match=r"expected \[4, 8, 16\]"):
        GeneratorConfig(size_px=16, channels={4: 8, 8: 8})


def test_drawing_images_needs_no_lightning() -> None:
    code = "import sys, training.weights_io, training.sampling; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
