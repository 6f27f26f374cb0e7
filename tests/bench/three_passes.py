"""Pairs made the plain way: three full forward passes, the third with hooks that put fused features in.

What the product's pairs are timed against: the original's image, the feature network's, and the original network once
more from its first layer. Layers, masks and the fusion's formula are the product's (METHODS A4, A5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from training.fusion import Noise, fuse
from training.fusion_schedule import FusionConfig
from training.joint_mask import MaskSource, joint_mask, resize_mask
from training.stylegan2 import Generator
from training.stylegan2.layers import blur_kernel, upsample

_KERNEL = blur_kernel()
Hook = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class PlainPass:
    """A full pass: its image, and up to the fusion layer each layer's features and each resolution's RGB output."""

    image: Tensor
    outputs: Mapping[str, Tensor]


def three_passes(
    original: Generator, feature: Generator, ws: Tensor, noise: Noise, masks: MaskSource, config: FusionConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Original N×3×H×W, target likewise and mask N×1×h×w, for one fusion after a resolution's last layer."""
    (spec,) = config.layers
    ours, theirs = (_recorded(network, ws, noise, spec.layer) for network in (original, feature))
    seen = [_seen(run, layer) for run, layer in zip((ours, theirs), config.mask_layers, strict=True)]
    mask = joint_mask(masks(seen[0]), masks(seen[1]), config.joint)
    replaced = {spec.layer: _fused(ours.outputs[spec.layer], theirs.outputs[spec.layer], mask, spec.a)}
    size = spec.layer.split("/")[0]
    rgb = _fused(_running_rgb(ours, spec.layer), _running_rgb(theirs, spec.layer), mask, spec.a)
    # The hook replaces what this resolution adds to the running RGB, so that the sum is the fused one.
    before = _running_rgb(ours, f"{int(size) // 2}/2")
    replaced[f"rgb {size}"] = rgb - upsample(before, _KERNEL)
    target = _run(original, ws, noise, spec.layer, lambda name, output: replaced.get(name, output))
    return ours.image, target, mask


def _recorded(network: Generator, ws: Tensor, noise: Noise, last: str) -> PlainPass:
    outputs: dict[str, Tensor] = {}
    return PlainPass(_run(network, ws, noise, last, outputs.setdefault), outputs)


def _run(network: Generator, ws: Tensor, noise: Noise, last: str, hook: Hook) -> Tensor:
    """One full pass; `hook` sees, and may replace, the outputs of the layer `last` and of all RGB layers up to it."""
    synthesis = network.synthesis
    size = int(last.split("/")[0])
    watched: dict[str, nn.Module] = {last: synthesis.convs[last]}
    watched |= {f"rgb {side}": layer for side, layer in synthesis.to_rgb.items() if int(side) <= size}

    def call(name: str, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return hook(name, output)

    handles = [module.register_forward_hook(partial(call, name)) for name, module in watched.items()]
    try:
        image: Tensor = synthesis(ws, noise)
    finally:
        for handle in handles:
            handle.remove()
    return image


def _seen(run: PlainPass, layer: str | None) -> Tensor:
    return run.image if layer is None else _running_rgb(run, layer)


def _running_rgb(run: PlainPass, layer: str) -> Tensor:
    """The sum of the RGB outputs up to a resolution's last layer."""
    total = run.outputs["rgb 4"]
    for side in (8 * 2**step for step in range(8)):
        if side <= int(layer.split("/")[0]):
            total = upsample(total, _KERNEL) + run.outputs[f"rgb {side}"]
    return total


def _fused(fo: Tensor, ft: Tensor, mask: Tensor, a: float) -> Tensor:
    return fuse(fo, ft, resize_mask(mask, fo.shape[-1]), a)
