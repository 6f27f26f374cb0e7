"""Mask fusion of two generators that share a mapping: the original's face with the feature network's attribute.

Source: US 2024/0193822 A1 (METHODS A5, A6).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from data.errors import UserError
from training.joint_mask import JointMode, MaskSource, joint_mask, resize_mask
from training.stylegan2 import Synthesis, SynthesisState

Noise = Mapping[str, Tensor]
WARN_FROM = 0.5


class FusionConfig(BaseModel):
    """Where and how strongly the feature network's features replace the original's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = Field(default="32/2", pattern=r"^\d+/[12]$", description="fusion layer k, e.g. 32/2")
    a: float = Field(default=0.1, ge=0, le=1, description="fusion coefficient: the original's share inside the mask")
    joint: JointMode = Field(default="union", description="joint mask: union or intersection of the two masks")
    mask_layers: tuple[str | None, str | None] = Field(
        default=(None, None), description="layers p and q whose images are parsed; null = the end layer"
    )


@dataclass(frozen=True)
class LayerFusion:
    """One fusion: the layer, the joint mask N×1×h×w at any size, the fusion coefficient."""

    layer: str
    mask: Tensor
    a: float


@dataclass(frozen=True)
class Trace:
    """One run of a network: its state after each layer that was asked for, and its end image N×3×H×W."""

    states: Mapping[str, SynthesisState]
    image: Tensor

    def image_of(self, layer: str | None) -> Tensor:
        """The image of a layer: the running RGB after it; the end layer's where `layer` is None."""
        return self.image if layer is None else self.states[layer].rgb_running

    def rows(self, chosen: Tensor) -> Trace:
        """The trace of some images of the batch, chosen by booleans or indices."""
        states = {
            layer: replace(state, features=state.features[chosen], rgb_running=state.rgb_running[chosen])
            for layer, state in self.states.items()
        }
        return Trace(states, self.image[chosen])


@dataclass(frozen=True)
class FusedBatch:
    """Images N×3×H×W of the original and the feature network, joint mask N×1×H×W, fused target N×3×H×W."""

    original: Tensor
    feature: Tensor
    mask: Tensor
    target: Tensor


def check_coefficient(a: float) -> None:
    """Raise UserError for a fusion coefficient outside [0, 1]; warn where it weakens the edit (a ≥ 0.5)."""
    if not 0 <= a <= 1:
        raise UserError(
            f"the fusion coefficient a is {a}, expected a number in [0, 1].", "Values within [0, 0.3] work."
        )
    if a >= WARN_FROM:
        warnings.warn(f"fusion coefficient a = {a}: the original outweighs the feature network", stacklevel=2)


def fuse(fo: Tensor, ft: Tensor, mask: Tensor, a: float) -> Tensor:
    """Fuse original with feature features inside a mask (METHODS A5).

    `fo`, `ft` N×C×h×w, `mask` N×1×h×w in [0, 1]. Raises UserError for a outside [0, 1].
    """
    check_coefficient(a)
    mask = mask.to(fo.dtype)
    return fo * (1 - mask) + (a * fo + (1 - a) * ft) * mask


def fuse_states(original: SynthesisState, feature: SynthesisState, mask: Tensor, a: float) -> SynthesisState:
    """Fuse two runs paused after the same layer: features and running RGB, each with the mask at its size.

    Without the RGB the original's colours would show through, since each resolution's colours add up.
    """
    if original.next_layer != feature.next_layer:
        raise ValueError(f"runs paused at layers {original.next_layer} and {feature.next_layer} cannot be fused")
    fo, ft = original.features, feature.features
    rgb_o, rgb_t = original.rgb_running, feature.rgb_running
    return replace(
        original,
        features=fuse(fo, ft, resize_mask(mask, fo.shape[-1]), a),
        rgb_running=fuse(rgb_o, rgb_t, resize_mask(mask, rgb_o.shape[-1]), a),
    )


def trace(synthesis: Synthesis, ws: Tensor, noise: Noise | None, stops: Iterable[str]) -> Trace:
    """Run a network once to its end, keeping the state after each of `stops` (layer names, any order)."""
    states: dict[str, SynthesisState] = {}
    state = synthesis.start(ws, noise)
    for layer in sorted(set(stops), key=synthesis.layer_index):
        state = synthesis.advance(state, ws, noise, until=layer)
        states[layer] = state
    return Trace(states, synthesis.finish(state, ws, noise))


def fused_images(
    original: Synthesis,
    original_trace: Trace,
    feature_trace: Trace,
    ws: Tensor,
    noise: Noise | None,
    fusions: Sequence[LayerFusion],
) -> Tensor:
    """Target images N×3×H×W: the original network run on from fused features, fused again at each later layer.

    `fusions` are in the order of the layers; both traces hold the first layer, the feature trace all of them.
    """
    first, *later = fusions
    state = original_trace.states[first.layer]
    state = fuse_states(state, feature_trace.states[first.layer], first.mask, first.a)
    for fusion in later:
        state = original.advance(state, ws, noise, until=fusion.layer)
        state = fuse_states(state, feature_trace.states[fusion.layer], fusion.mask, fusion.a)
    return original.finish(state, ws, noise)


def target_images(
    original: Synthesis, feature: Synthesis, ws: Tensor, noise: Noise | None, mask: Tensor, config: FusionConfig
) -> Tensor:
    """Target images N×3×H×W for a given joint mask N×1×h×w, with the same w and layer noise in both networks."""
    original_trace = trace(original, ws, noise, [config.layer])
    feature_trace = trace(feature, ws, noise, [config.layer])
    fusions = [LayerFusion(config.layer, mask, config.a)]
    return fused_images(original, original_trace, feature_trace, ws, noise, fusions)


def fuse_with_traces(
    original: Synthesis,
    original_trace: Trace,
    feature_trace: Trace,
    ws: Tensor,
    noise: Noise | None,
    mask_source: MaskSource,
    config: FusionConfig,
) -> FusedBatch:
    """Joint mask and target of two traces that hold `fusion_stops(config)`."""
    of_original, of_feature = config.mask_layers
    small = joint_mask(
        mask_source(original_trace.image_of(of_original)),
        mask_source(feature_trace.image_of(of_feature)),
        config.joint,
    )
    mask = resize_mask(small, original_trace.image.shape[-1])
    fusions = [LayerFusion(config.layer, mask, config.a)]
    target = fused_images(original, original_trace, feature_trace, ws, noise, fusions)
    return FusedBatch(original_trace.image, feature_trace.image, mask, target)


def fusion_stops(config: FusionConfig) -> tuple[list[str], list[str]]:
    """Layers whose states the original's and the feature network's trace must hold."""
    of_original, of_feature = config.mask_layers
    return (
        [config.layer, *([of_original] if of_original else [])],
        [config.layer, *([of_feature] if of_feature else [])],
    )


def fused_batch(
    original: Synthesis,
    feature: Synthesis,
    ws: Tensor,
    noise: Noise | None,
    mask_source: MaskSource,
    config: FusionConfig,
) -> FusedBatch:
    """Original, feature and target images and their joint mask for latents `ws` (N×w_dim or N×layers×w_dim)."""
    stops_original, stops_feature = fusion_stops(config)
    original_trace = trace(original, ws, noise, stops_original)
    feature_trace = trace(feature, ws, noise, stops_feature)
    return fuse_with_traces(original, original_trace, feature_trace, ws, noise, mask_source, config)
