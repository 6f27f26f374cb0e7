"""A perceptual distance outside a mask: layers of the features judge, compared as LPIPS compares a network's.

Zhang et al., arXiv 1801.03924, eq. 1, without learned weights and with a judge's own layers: never to be called LPIPS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from data.errors import UserError
from evaluation.metrics import intervals
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge
from evaluation.pixels import CPU, Images, batches, to_tensor
from training.judges.networks import VectorNet

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]
Layer = Tensor | NDArray[Any]
SMALL = 1e-10

PERCEPTUAL = intervals.Protocol(
    "perceptual_outside", "distance",
    "squared difference of unit-normalised activations, mean over outside positions, sum over the judge's layers; "
    "what is inside is the input's in both pictures",
    False,
)  # fmt: skip


class SeesLayers(Protocol):
    """A judge of features whose net is a residual trunk: its stem and blocks are the layers."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def net(self) -> VectorNet: ...
    def features(self, images: Tensor) -> Tensor: ...


def sees_layers(judge: object) -> TypeGuard[SeesLayers]:
    """Whether the judge shows layers that this distance can be made of."""
    return isinstance(getattr(judge, "net", None), VectorNet) and hasattr(judge, "features")


@torch.inference_mode()
def layer_activations(judge: SeesLayers, images: Tensor) -> tuple[Tensor, ...]:
    """Return what each layer of the judge sees in N×3×H×W images in [-1, 1]: the stem, then every block, N×C×h×w."""
    with _watched([judge.net.stem_norm, *judge.net.blocks]) as seen:
        judge.features(images)
    stem, *blocks = seen
    return (F.relu(stem), *blocks)  # the stem's ReLU is a function, not a module


@contextmanager
def _watched(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the modules' outputs, in the order in which they run."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.append(output)

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def perceptual_distances(layers_before: Sequence[Layer], layers_after: Sequence[Layer], outside: ArrayLike) -> Floats:
    """Return each image's distance; layers of N×C×h×w each, `outside` N×H×W in [0, 1] → N.

    NaN where nothing is outside. Raises ValueError when shapes differ, UserError for NaN or infinity.
    """
    mask = torch.from_numpy(np.asarray(outside, dtype=np.float32))[:, None]
    total = torch.zeros(len(mask), dtype=torch.float64)
    for one, two in zip(layers_before, layers_after, strict=True):
        a, b = torch.as_tensor(one), torch.as_tensor(two)
        if a.shape != b.shape or len(a) != len(mask):
            raise ValueError(f"layers {tuple(a.shape)}, {tuple(b.shape)} and {len(mask)} masks do not belong together")
        squared = (_unit(a) - _unit(b)).square().sum(dim=1).double().cpu()  # N×C×h×w → N×h×w
        weight = F.interpolate(mask, size=a.shape[2:], mode="area")[:, 0].double()
        total += (squared * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))
    empty = mask.sum(dim=(1, 2, 3)) == 0
    if not bool(torch.isfinite(total[~empty]).all()):
        raise UserError("The features judge's layers hold NaN or infinity.", "Check the judge's weights file.")
    return np.asarray(total.masked_fill(empty, float("nan")).numpy(), dtype=np.float64)


def perceptual_measure(
    layers_before: Sequence[Layer], layers_after: Sequence[Layer], outside: ArrayLike, judge: Judge
) -> Measure:
    """The perceptual distance outside the mask from layers that are at hand; shapes as of `perceptual_distances`."""
    return Measure.of_values(PERCEPTUAL, judge, perceptual_distances(layers_before, layers_after, outside))


@torch.inference_mode()
def perceptual_of_images(
    judge: SeesLayers,
    before: Images,
    after: Images,
    outside: Masks,
    batch_size: int = 64,
    device: torch.device = CPU,
) -> Measure:
    """The perceptual distance of N×H×W×3 uint8 images where `outside` (N×H×W) holds, batch by batch.

    Inside, the output is given the input's pixels first: a layer sees further than its own position, and a change that
    was allowed must not count beside it.
    """
    if before.shape != after.shape or outside.shape != before.shape[:3]:
        raise ValueError(f"images {before.shape}, {after.shape} and masks {outside.shape} do not belong together")
    parts = [np.zeros(0)]
    for part in batches(len(before), batch_size):
        shown = np.where(outside[part][..., None], after[part], before[part])
        one, two = (layer_activations(judge, to_tensor(images, device)) for images in (before[part], shown))
        parts.append(perceptual_distances(one, two, outside[part]))
    return Measure.of_values(PERCEPTUAL, Judge(judge.name, judge.digest), np.concatenate(parts))


def _unit(layer: Tensor) -> Tensor:
    """Activations at unit length over the channels, N×C×h×w."""
    floats = layer.float()
    return floats / (floats.square().sum(dim=1, keepdim=True).sqrt() + SMALL)
