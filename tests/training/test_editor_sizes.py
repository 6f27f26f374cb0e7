"""What the editor must hold from 64 to 1024 px: the small network stays what it was, the large ones go deeper."""

import hashlib

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from data.errors import UserError
from training.editor.apply import Editor
from training.editor.config import EditorTrainingConfig
from training.editor.network import EditorConfig, EditorNetwork
from training.editor.patch_discriminator import MultiScaleDiscriminator

# Names and shapes of the weights of an editor at 64 px, with the default settings.
LAYOUT_64_PX = "0226be30b5fb8404ec6d88bc6b0ca7fe3ad95fc67ece6483a93b93de5142d750"


def waves(*shape: int, step: float, phase: float = 0.0) -> Tensor:
    """Values that are the same on every machine, drawn from no generator."""
    places = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(places * step + phase).reshape(shape).float()


def fill(network: EditorNetwork) -> None:
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 10
            parameter.copy_(waves(*parameter.shape, step=0.7, phase=number) / fan_in**0.5)


def test_editors_at_64_px_keep_their_weights_and_outputs() -> None:
    """Weights that were trained must still load and mean the same; 1e-3 leaves room for another convolution's order."""
    network = EditorNetwork(EditorConfig()).requires_grad_(False)
    layout = "\n".join(f"{name} {tuple(value.shape)}" for name, value in network.state_dict().items())
    assert hashlib.sha256(layout.encode()).hexdigest() == LAYOUT_64_PX
    fill(network)
    images, alpha = network(waves(2, 3, 64, 64, step=0.37))
    found = [images.mean(), images.std(), alpha.mean(), alpha.std(), images[1, 2, 40, 17], alpha[0, 0, 5, 60]]
    expected = [-0.001844, 0.719424, -4.739491, 1.028533, -0.971322, -3.795036]
    assert torch.allclose(torch.stack(found), torch.tensor(expected), atol=1e-3)


@pytest.mark.parametrize(
    ("size_px", "channels", "bottleneck_px"),
    [
        (64, (32, 64, 96), 8),
        (128, (32, 64, 96), 16),
        (256, (32, 64, 96, 192), 16),
        (512, (32, 64, 96, 192, 192), 16),
        (1024, (32, 64, 96, 192, 192, 192), 16),
    ],
)
def test_larger_images_reach_the_same_bottleneck(size_px: int, channels: tuple[int, ...], bottleneck_px: int) -> None:
    """Without memory for values: shapes alone, on the meta device."""
    config = EditorTrainingConfig(attribute="beard").network(size_px)
    assert config.channels == channels
    seen: list[torch.Size] = []
    with torch.device("meta"):
        network = EditorNetwork(config)
        network.bottleneck.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
        output = network(torch.empty(2, 3, size_px, size_px))
    assert seen == [(2, channels[-1], bottleneck_px, bottleneck_px)]
    assert output.images.shape == (2, 3, size_px, size_px)
    assert output.alpha_logits.shape == (2, 1, size_px, size_px)


def test_every_level_of_a_deep_network_is_learnt() -> None:
    torch.manual_seed(0)
    network = EditorNetwork(EditorConfig(size_px=64, channels=(8, 8, 8, 8, 8), detail_channels=4))
    network(waves(2, 3, 64, 64, step=0.37)).images.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_side_that_cannot_be_halved_so_often_is_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of 32"):
        EditorTrainingConfig(attribute="beard", levels=5).network(336)
    deep = EditorConfig(size_px=64, channels=(4, 4, 4, 4, 4), detail_channels=4, bottleneck_blocks=1)
    editor = Editor(EditorNetwork(deep).requires_grad_(False), "beard", "")
    with pytest.raises(UserError, match="divisible by 32"):
        editor(torch.zeros(1, 3, 48, 48))


@pytest.mark.parametrize(("size_px", "scales"), [(64, 1), (128, 1), (256, 2), (512, 3), (1024, 3)])
def test_discriminator_looks_at_more_sizes_of_larger_images(size_px: int, scales: int) -> None:
    assert EditorTrainingConfig(attribute="beard").scales_at(size_px) == scales
    assert EditorTrainingConfig(attribute="beard", discriminator_scales=4).scales_at(size_px) == 4


def test_each_scale_scores_its_own_size() -> None:
    discriminator = MultiScaleDiscriminator(3)
    scores = discriminator(torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64))
    assert [tuple(s.shape) for s in scores] == [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
