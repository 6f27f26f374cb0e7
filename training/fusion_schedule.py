"""The fusion schedule: at which layers two generators are fused, how strongly, and by which masks.

Source: US 2024/0193822 A1 (METHODS A4, A5, A6).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from data.errors import UserError

WARN_FROM = 0.5
JointMode = Literal["union", "intersection"]
LayerName = Annotated[str, StringConstraints(pattern=r"^\d+/[12]$")]
MaskLayers = tuple[LayerName | None, LayerName | None]
"""Layers p of the original and q of the feature network whose images are parsed; None = the end layer."""


class LayerSpec(BaseModel):
    """One fusion: its layer k, its coefficient a, and its mask: the target joint mask or one updated here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: LayerName = Field(default="32/2", description="fusion layer k, e.g. 32/2")
    a: float = Field(default=0.1, ge=0, le=1, description="fusion coefficient: the original's share inside the mask")
    mask: Literal["target"] | MaskLayers = Field(
        default="target", description="the target joint mask, or layers p and q of a mask made anew for this fusion"
    )

    @field_validator("a")
    @classmethod
    def _weak(cls, a: float) -> float:
        if a >= WARN_FROM:
            warnings.warn(f"fusion coefficient a = {a}: the original outweighs the feature network", stacklevel=2)
        return a


class FusionConfig(BaseModel):
    """A resolved schedule: the fusions in the order of their layers, and how the target joint mask is made.

    A fusion with `mask: target` takes the joint mask of the images of `mask_layers`: p of the untouched original
    network, q of the feature network. A fusion with layers (p', q') of its own takes an updated mask of their images;
    its original side is the already fused run where that has passed p' (its running RGB there, after the fusion at p'
    if there is one), else the untouched original's: before the first fusion, ahead of this one, or at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Literal["z", "w"] = Field(default="w", description="what both networks are given: z, or one w (or w+)")
    layers: tuple[LayerSpec, ...] = Field(default=(LayerSpec(),), min_length=1, description="fusions, layers rising")
    joint: JointMode = Field(default="union", description="joint mask: union or intersection of the two masks")
    mask_layers: MaskLayers = Field(default=(None, None), description="layers p and q of the target joint mask")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for before, after in pairwise(spec.layer for spec in self.layers):
            if layer_order(before) >= layer_order(after):
                raise ValueError(f"layer {after} stands after {before}: fusion layers must rise strictly")
        return self

    @property
    def uses_target_mask(self) -> bool:
        """Whether any fusion takes the target joint mask; else nobody needs to make it."""
        return any(spec.mask == "target" for spec in self.layers)


def layer_order(layer: str) -> tuple[int, int]:
    """Sort key of layer names: the order in which they run."""
    size, convolution = layer.split("/")
    return int(size), int(convolution)


def with_strength(config: FusionConfig, strength: float) -> FusionConfig:
    """The same schedule with each a := 1 − s·(1 − a): s = 0 gives the original image, s = 1 `config` itself.

    Raises UserError for a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise UserError(
            f"the strength of a fusion is {strength}, expected a number in [0, 1].",
            "The generator's path ends at the schedule itself; beyond it, an editor goes up to 1.5.",
        )
    if strength == 1:
        return config  # 1 − (1 − a) would round
    layers = tuple(spec.model_copy(update={"a": 1 - strength * (1 - spec.a)}) for spec in config.layers)
    return config.model_copy(update={"layers": layers})


def original_stops(config: FusionConfig) -> set[str]:
    """Layers whose states the untouched original's run must leave: the first fusion layer and those parsed of it."""
    first = config.layers[0].layer
    stops = {first, *_named([config.mask_layers[0]] if config.uses_target_mask else [])}
    for number, spec in enumerate(config.layers):
        for layer in _named([spec.mask[0]] if spec.mask != "target" else []):
            in_fused_run = number > 0 and layer_order(first) <= layer_order(layer) <= layer_order(spec.layer)
            stops |= set() if in_fused_run else {layer}
    return stops


def feature_stops(config: FusionConfig) -> set[str]:
    """Layers whose states the feature network's run must leave."""
    return {spec.layer for spec in config.layers} | set(_named(_feature_mask_layers(config)))


def feature_runs_to_end(config: FusionConfig) -> bool:
    """Whether a mask is made of the feature network's end image; else it stops at the last layer needed."""
    return None in _feature_mask_layers(config)


def check_layers(config: FusionConfig, known: Sequence[str], key: str = "edit_pairs.fusion") -> None:
    """Raise UserError naming the key of a layer that the networks, whose layers are `known`, do not have."""
    named = [(f"{key}.mask_layers", layer) for layer in config.mask_layers]
    for number, spec in enumerate(config.layers):
        named.append((f"{key}: layer of fusion {number + 1}", spec.layer))
        if spec.mask != "target":
            named += [(f"{key}: mask of fusion {number + 1}", layer) for layer in spec.mask]
    for where, layer in named:
        if layer is not None and layer not in known:
            raise UserError(f"{where} is {layer!r}, which the networks do not have.", f"Layers: {', '.join(known)}.")


def _feature_mask_layers(config: FusionConfig) -> list[str | None]:
    updated = [spec.mask[1] for spec in config.layers if spec.mask != "target"]
    return [*updated, config.mask_layers[1]] if config.uses_target_mask else list(updated)


def _named(layers: Sequence[str | None]) -> list[str]:
    return [layer for layer in layers if layer is not None]
