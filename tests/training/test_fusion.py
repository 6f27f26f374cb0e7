"""What mask fusion must hold (METHODS A, "Must hold in tests")."""

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from data.errors import UserError
from training.fusion import FusionConfig, LayerFusion, fuse, fused_batch, fused_images, target_images, trace
from training.joint_mask import resize_mask
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator, GeneratorConfig, Synthesis
from training.stylegan2.layers import upsample

SIZE_PX = 16
COUNT = 3


def network(seed: int) -> Generator:
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(size_px=SIZE_PX, channels={4: 12, 8: 10, 16: 8}, z_dim=8, w_dim=8))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):  # starts at 0, where noise would not be tested
                parameter.fill_(0.3)
    return generator.requires_grad_(False)


ORIGINAL, FEATURE = network(0), network(1)
INDICES = torch.arange(COUNT)
WS = ORIGINAL.mapping(latents(7, INDICES, 8))
NOISE = layer_noise(7, INDICES, ORIGINAL.synthesis.layer_sizes)


def soft_masks() -> Tensor:
    return torch.rand(COUNT, 1, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(3))


def fused(mask: Tensor, layer: str = "8/2", a: float = 0.2) -> Tensor:
    config = FusionConfig(layer=layer, a=a)
    return target_images(ORIGINAL.synthesis, FEATURE.synthesis, WS, NOISE, mask, config)


def hooked_reference(layer: str, mask: Tensor, a: float) -> Tensor:
    """Fusion by hooks in a plain forward run: shares nothing with the stepper but the layers."""
    theirs = outputs_of(FEATURE.synthesis)
    mine = outputs_of(ORIGINAL.synthesis)
    size, conv = layer.split("/")
    rgb_size = size if conv == "2" or size == "4" else str(int(size) // 2)
    synthesis = ORIGINAL.synthesis
    kernel = synthesis.kernel

    def blend(ours: Tensor, other: Tensor) -> Tensor:
        m = resize_mask(mask, ours.shape[-1])
        return torch.lerp(ours, a * ours + (1 - a) * other, m)

    def running(outputs: dict[str, Tensor]) -> Tensor:
        rgb = outputs["rgb/4"]
        for step in (8, 16):
            if step <= int(rgb_size):
                rgb = upsample(rgb, kernel) + outputs[f"rgb/{step}"]
        return rgb

    # The tail must see the fused running image: give the RGB layer what is missing to it.
    surplus = blend(running(mine), running(theirs)) - running(mine)
    following = synthesis.convs[synthesis.layer_names[synthesis.layer_index(layer) + 1]]
    hooks = [
        following.register_forward_pre_hook(lambda _, args: (blend(args[0], theirs[layer]), *args[1:])),
        synthesis.to_rgb[rgb_size].register_forward_hook(lambda _, __, output: output + surplus),
    ]
    try:
        image: Tensor = synthesis(WS, NOISE)
        return image
    finally:
        for hook in hooks:
            hook.remove()


def outputs_of(synthesis: Synthesis) -> dict[str, Tensor]:
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, args, output: outputs.update({name: output})

    hooks = [conv.register_forward_hook(keep(name)) for name, conv in synthesis.convs.items()]
    hooks += [rgb.register_forward_hook(keep(f"rgb/{size}")) for size, rgb in synthesis.to_rgb.items()]
    synthesis(WS, NOISE)
    for hook in hooks:
        hook.remove()
    return outputs


@pytest.mark.parametrize("layer", ["4/1", "8/1", "8/2", "16/1"])
def test_empty_mask_gives_the_original_bit_for_bit(layer: str) -> None:
    target = fused(torch.zeros(COUNT, 1, SIZE_PX, SIZE_PX), layer)
    assert torch.equal(target, ORIGINAL.synthesis(WS, NOISE))


@pytest.mark.parametrize("layer", ["8/1", "8/2", "16/1"])
def test_full_mask_runs_the_original_tail_on_the_feature_networks_state(layer: str) -> None:
    """Bit for bit: at m = 1 and a = 0 the formula only adds zeros."""
    target = fused(torch.ones(COUNT, 1, SIZE_PX, SIZE_PX), layer, a=0.0)
    state = FEATURE.synthesis.advance(FEATURE.synthesis.start(WS, NOISE), WS, NOISE, until=layer)
    assert torch.equal(target, ORIGINAL.synthesis.finish(state, WS, NOISE))
    assert not torch.allclose(target, ORIGINAL.synthesis(WS, NOISE), atol=1e-2)


@pytest.mark.filterwarnings("ignore:fusion coefficient")
def test_a_of_one_gives_the_original() -> None:
    """To 1e-4: f·(1 − m) + f·m rounds, and the tail amplifies it a little."""
    assert torch.allclose(fused(soft_masks(), a=1.0), ORIGINAL.synthesis(WS, NOISE), atol=1e-4)


@pytest.mark.parametrize("layer", ["4/1", "8/1", "8/2", "16/1"])
def test_fusing_and_running_on_equals_a_hooked_run(layer: str) -> None:
    mask = soft_masks()
    expected = hooked_reference(layer, mask, a=0.2)
    scale = float(expected.abs().max())  # untrained networks draw beyond [-1, 1]
    assert float((fused(mask, layer) - expected).abs().max()) <= 1e-5 * max(1.0, scale)
    assert not torch.allclose(expected, ORIGINAL.synthesis(WS, NOISE), atol=1e-2)


def test_formula_in_double_precision() -> None:
    generator = torch.Generator().manual_seed(1)
    fo, ft = (torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(2, 1, 4, 4, generator=generator, dtype=torch.float64)
    expected = fo * (1 - mask) + (0.3 * fo + 0.7 * ft) * mask
    assert torch.equal(fuse(fo, ft, mask, 0.3), expected)
    assert torch.equal(fuse(fo, ft, torch.zeros_like(mask), 0.3), fo)


@pytest.mark.parametrize("a", [-0.01, 1.01, float("nan")])
def test_coefficient_outside_its_range_is_an_error(a: float) -> None:
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        fuse(torch.zeros(1), torch.zeros(1), torch.zeros(1), a)
    with pytest.raises(ValidationError):
        FusionConfig(a=a)


def test_coefficient_from_a_half_warns() -> None:
    with pytest.warns(UserWarning, match="outweighs"):
        fuse(torch.zeros(1), torch.zeros(1), torch.zeros(1), 0.5)


def test_one_run_serves_the_images_and_the_fusion() -> None:
    mask = soft_masks()
    batch = fused_batch(
        ORIGINAL.synthesis, FEATURE.synthesis, WS, NOISE, lambda images: mask, FusionConfig(layer="8/2")
    )
    assert torch.equal(batch.original, ORIGINAL.synthesis(WS, NOISE))
    assert torch.equal(batch.feature, FEATURE.synthesis(WS, NOISE))
    assert torch.equal(batch.target, fused(mask, a=FusionConfig().a))


def test_masks_come_from_the_images_of_the_layers_asked_for() -> None:
    seen: list[Tensor] = []

    def source(images: Tensor) -> Tensor:
        seen.append(images)
        return torch.ones(COUNT, 1, images.shape[-1], images.shape[-1])

    config = FusionConfig(layer="8/1", mask_layers=("8/2", None))
    batch = fused_batch(ORIGINAL.synthesis, FEATURE.synthesis, WS, NOISE, source, config)
    assert [images.shape[-1] for images in seen] == [8, 16]
    assert torch.equal(seen[1], FEATURE.synthesis(WS, NOISE))
    assert batch.mask.shape == (COUNT, 1, SIZE_PX, SIZE_PX)


def test_a_second_fusion_starts_from_the_fused_run() -> None:
    """Two fusions with an empty second mask are the first alone; with a full one the first no longer shows."""
    first = LayerFusion("8/1", soft_masks(), 0.1)
    ours, theirs = (trace(net.synthesis, WS, NOISE, ["8/1", "8/2"]) for net in (ORIGINAL, FEATURE))

    def run(fusions: list[LayerFusion]) -> Tensor:
        return fused_images(ORIGINAL.synthesis, ours, theirs, WS, NOISE, fusions)

    empty, full = (LayerFusion("8/2", torch.full((COUNT, 1, 16, 16), m), 0.0) for m in (0.0, 1.0))
    assert torch.equal(run([first, empty]), run([first]))
    assert torch.equal(run([first, full]), run([full]))
    middle = LayerFusion("8/2", soft_masks(), 0.0)
    assert not torch.allclose(run([first, middle]), run([middle]), atol=1e-3)
