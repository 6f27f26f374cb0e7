"""A small aligned set from the renderer, and a panel of real judge networks with seeded weights."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data.aligned import AlignmentConfig, align_images
from data.manifest import SplitFractions
from data.render import ATTRIBUTES, REGIONS
from data.rendered import RenderedConfig, render_images
from evaluation.panel import Panel
from training.judges.interface import AttributeJudge, FeaturesJudge, IdentityJudge, ParserJudge, PoseJudge
from training.judges.networks import ParserNet, VectorNet
from training.pair_batch import PairJudges
from training.stylegan2 import Generator, GeneratorConfig


@pytest.fixture(scope="session")
def aligned_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 renders of 20 subjects at 48 px, aligned at 32 px; nearly all of them in the test split."""
    root = tmp_path_factory.mktemp("evaluation")
    fractions = SplitFractions(test=0.8, validation=0.05)
    (root / "images").mkdir()
    (root / "aligned").mkdir()
    render_images(RenderedConfig(count=60, images_per_subject=3, size_px=48), root / "images", fractions)
    align_images(root / "images", root / "aligned", AlignmentConfig(size_px=32))
    return root / "aligned"


def _net(outputs: int, seed: int) -> VectorNet:
    torch.manual_seed(seed)
    net = VectorNet((8, 8, 8, 8), 1, 6, outputs)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def panel() -> Panel:
    """The product's own judge networks, untrained: their numbers mean nothing, but they are functions of the images."""
    torch.manual_seed(9)
    parser = ParserNet((4, 4, 8), len(REGIONS)).eval().requires_grad_(False)
    return Panel(
        AttributeJudge("attribute_eval", "attribute", "eval", "a1", _net(len(ATTRIBUTES), 1), tuple(ATTRIBUTES)),
        IdentityJudge("identity_eval", "identity", "eval", "b2", _net(0, 2)),
        PoseJudge("pose", "pose", "eval", "c3", _net(3, 3)),
        FeaturesJudge("features", "features", "eval", "d4", _net(0, 4)),
        ParserJudge("parser_eval", "parser", "eval", "e5", parser, tuple(REGIONS)),
    )


@pytest.fixture(scope="session")
def fusing_networks() -> tuple[Generator, Generator]:
    """An untrained original network of 16 px, and one like it whose faces are redder: its mapping is the original's."""
    torch.manual_seed(0)
    original = Generator(GeneratorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8}, z_dim=8, w_dim=8))
    original.requires_grad_(False)
    for name, parameter in original.synthesis.to_rgb.named_parameters():
        if name.endswith(".weight") and parameter.ndim == 4:
            parameter.mul_(0.2)  # about [-1, 1]
    feature = copy.deepcopy(original)
    feature.synthesis.to_rgb.get_parameter("8.bias").add_(torch.tensor([0.6, 0.0, -0.6]))
    return original, feature


@pytest.fixture(scope="session")
def closed_form_judges() -> PairJudges:
    """Judges without weights: the mask is a box, the attribute is how much redder than blue the box is."""

    def in_box(images: Tensor) -> Tensor:
        mask = torch.zeros(len(images), 1, *images.shape[-2:])
        quarter = images.shape[-1] // 4
        mask[..., quarter:-quarter, quarter:-quarter] = 1
        return mask

    def redness(images: Tensor) -> Tensor:
        box = images[..., 4:12, 4:12]
        return torch.sigmoid(5 * (box[:, 0] - box[:, 2]).mean(dim=(1, 2)))

    def look(images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.flatten(1), dim=1)

    return PairJudges(in_box, in_box, redness, look, "closed forms")
