"""Mask fusion of two generators that share a mapping: the original's face with the feature network's attribute.

Source: US 2024/0193822 A1 (METHODS A4, A5, A6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import torch
from torch import Tensor

from data.errors import UserError
from training.fusion_schedule import (
    FusionConfig,
    LayerSpec,
    check_layers,
    feature_runs_to_end,
    feature_stops,
    layer_order,
    original_stops,
)
from training.joint_mask import MaskSource, joint_mask, remembered, resize_mask
from training.stylegan2 import Generator, Synthesis, SynthesisState

Noise = Mapping[str, Tensor]


@dataclass(frozen=True)
class Trace:
    """One run of a network: its state after each layer asked for, and its end image N×3×H×W where it ran so far."""

    states: Mapping[str, SynthesisState]
    image: Tensor | None

    def image_of(self, layer: str | None) -> Tensor:
        """The image of a layer: the running RGB after it; the end layer's where `layer` is None."""
        if layer is not None:
            return self.states[layer].rgb_running
        if self.image is None:
            raise ValueError("this run stopped before the end layer")
        return self.image

    def rows(self, chosen: Tensor) -> Trace:
        """The trace of some images of the batch, chosen by booleans or indices."""
        states = {
            layer: replace(state, features=state.features[chosen], rgb_running=state.rgb_running[chosen])
            for layer, state in self.states.items()
        }
        return Trace(states, None if self.image is None else self.image[chosen])


@dataclass(frozen=True)
class FusedBatch:
    """What a schedule makes of a batch of codes.

    `original` and `target` N×3×H×W; `feature` likewise, None where the feature network stopped before its end;
    `mask` N×1×H×W: the union of the fusions' masks; `stages`: the running RGB right after each fusion, at its size.
    """

    original: Tensor
    feature: Tensor | None
    mask: Tensor
    target: Tensor
    stages: tuple[Tensor, ...]


def fuse(fo: Tensor, ft: Tensor, mask: Tensor, a: float) -> Tensor:
    """Fuse original with feature features inside a mask: fo ⊙ (1 − m) + (a·fo + (1 − a)·ft) ⊙ m (METHODS A5).

    Collected by fo and ft this is fo + m·(1 − a) ⊙ (ft − fo), an interpolation whose two ends are exact: m = 0 or
    a = 1 is `fo`, and m = 1 with a = 0 is `ft`, bit for bit. `fo`, `ft` N×C×h×w finite, `mask` N×1×h×w in [0, 1].
    Raises UserError for a outside [0, 1].
    """
    check_coefficient(a)
    return torch.lerp(fo, ft, (mask * (1 - a)).to(fo.dtype))


def check_coefficient(a: float) -> None:
    """Raise UserError for a fusion coefficient outside [0, 1]."""
    if not 0 <= a <= 1:
        raise UserError(
            f"the fusion coefficient a is {a}, expected a number in [0, 1].", "Values within [0, 0.3] work."
        )


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


def trace(
    synthesis: Synthesis,
    ws: Tensor,
    noise: Noise | None,
    stops: Iterable[str],
    *,
    end: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Trace:
    """Run a network once, keeping the state after each of `stops` (layer names, any order); to its end with `end`."""
    states: dict[str, SynthesisState] = {}
    state = synthesis.start(ws, noise, dtype)
    for layer in sorted(set(stops), key=layer_order):
        state = synthesis.advance(state, ws, noise, until=layer)
        states[layer] = state
    return Trace(states, synthesis.finish(state, ws, noise) if end else None)


def original_trace(
    network: Generator, ws: Tensor, noise: Noise | None, config: FusionConfig, dtype: torch.dtype = torch.float32
) -> Trace:
    """The untouched original's run, once: its end image and all that the fusions of `config` need of it."""
    return trace(network.synthesis, ws, noise, original_stops(config), dtype=dtype)


def feature_trace(
    network: Generator, ws: Tensor, noise: Noise | None, config: FusionConfig, dtype: torch.dtype = torch.float32
) -> Trace:
    """The feature network's run, no further than the last layer that the fusions of `config` need."""
    end = feature_runs_to_end(config)
    return trace(network.synthesis, ws, noise, feature_stops(config), end=end, dtype=dtype)


def fuse_traces(
    original: Synthesis,
    ours: Trace,
    theirs: Trace,
    ws: Tensor,
    noise: Noise | None,
    mask_source: MaskSource,
    config: FusionConfig,
) -> FusedBatch:
    """Masks and targets of two runs (METHODS A4–A6): the original network goes on from the first fusion layer.

    `ours` holds the layers of `original_stops(config)`, `theirs` those of `feature_stops(config)`, or more.
    """
    run = _FusedRun(original, ours, theirs, config, remembered(mask_source))
    for spec in config.layers:
        run.advance(ws, noise, spec.layer)
        run.fuse(spec)
    end = ours.image_of(None)
    mask = reduce(torch.maximum, [resize_mask(mask, end.shape[-1]) for mask in run.masks])
    return FusedBatch(end, theirs.image, mask, original.finish(run.state, ws, noise), tuple(run.stages))


@dataclass
class _FusedRun:
    """The original network's run from the first fusion layer on, fused at each fusion layer."""

    original: Synthesis
    ours: Trace
    theirs: Trace
    config: FusionConfig
    mask_source: MaskSource
    running: dict[str, Tensor] = field(default_factory=dict)  # layer → running RGB, fused where it was fused
    masks: list[Tensor] = field(default_factory=list)
    stages: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.ours.states[self.config.layers[0].layer]

    def advance(self, ws: Tensor, noise: Noise | None, until: str) -> None:
        last = self.original.layer_index(until)
        for layer in self.original.layer_names[self.state.next_layer : last + 1]:
            self.state = self.original.advance(self.state, ws, noise, until=layer)
            self.running[layer] = self.state.rgb_running

    def fuse(self, spec: LayerSpec) -> None:
        mask = self._mask(spec)
        self.state = fuse_states(self.state, self.theirs.states[spec.layer], mask, spec.a)
        self.running[spec.layer] = self.state.rgb_running
        self.masks.append(mask)
        self.stages.append(self.state.rgb_running)

    def _mask(self, spec: LayerSpec) -> Tensor:
        if spec.mask == "target":
            p, q = self.config.mask_layers
            image = self.ours.image_of(p)
        else:
            p, q = spec.mask
            passed = self.running.get(p) if p is not None else None
            image = self.ours.image_of(p) if passed is None else passed
        return joint_mask(self.mask_source(image), self.mask_source(self.theirs.image_of(q)), self.config.joint)


def fused_batch(
    original: Generator,
    feature: Generator,
    codes: Tensor,
    noise: Noise | None,
    mask_source: MaskSource,
    config: FusionConfig,
    truncation_psi: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> FusedBatch:
    """Original, feature and target images and their joint mask for one batch of codes, nothing computed twice.

    `codes` are z (N×z_dim) where `config.input` is z, to which `truncation_psi` applies; else w (N×w_dim) or w+
    (N×layers×w_dim), taken as they are. `noise` by layer goes into both; `dtype` is what features are computed in.
    Raises UserError where the mappings differ (input z) or the networks lack a layer of the schedule.
    """
    check_layers(config, original.synthesis.layer_names)
    if config.input == "z":
        check_same_mapping(original, feature)
    ws = original.mapping(codes, truncation_psi) if config.input == "z" else codes
    ours = original_trace(original, ws, noise, config, dtype)
    theirs = feature_trace(feature, feature_ws(feature, codes, ws, config, truncation_psi), noise, config, dtype)
    return fuse_traces(original.synthesis, ours, theirs, ws, noise, mask_source, config)


def feature_ws(feature: Generator, z: Tensor, ws: Tensor, config: FusionConfig, truncation_psi: float) -> Tensor:
    """What the feature network's synthesis is given: its own mapping of z (input z), or the original's `ws`."""
    mapped: Tensor = feature.mapping(z, truncation_psi) if config.input == "z" else ws
    return mapped


def check_same_mapping(original: Generator, feature: Generator) -> None:
    """Raise UserError unless both networks turn z into the same w."""
    ours, theirs = original.mapping.state_dict(), feature.mapping.state_dict()
    if not all(name in theirs and torch.equal(tensor, theirs[name]) for name, tensor in ours.items()):
        raise UserError(
            "The feature network's mapping is not the original network's, so their images do not correspond.",
            "Fine-tune the feature network from this original network, with its mapping frozen.",
        )
