"""The complexity rule: how many fusions an edit needs, from how much it changes.

Source: US 2024/0193822 A1 (METHODS A6).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from training.fusion_schedule import FusionConfig, JointMode, LayerSpec, MaskLayers
from training.joint_mask import MaskSource

AREA_UNIT = 0.25
"""A region that covers this share of the image makes its attribute count twice."""
MEASURED_IMAGES = 256
BATCH_SIZE = 32


class FusionPresets(BaseModel):
    """The two schedules that the rule chooses from, and what they have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Literal["z", "w"] = Field(default="w", description="what both networks are given")
    joint: JointMode = Field(default="union", description="joint mask: union or intersection of the two masks")
    mask_layers: MaskLayers = Field(default=(None, None), description="layers p and q of the target joint mask")
    smaller: tuple[LayerSpec, ...] = Field(default=(LayerSpec(),), min_length=1, description="fusions of a simple edit")
    larger: tuple[LayerSpec, ...] = Field(
        default=(LayerSpec(layer="16/2"), LayerSpec()), min_length=1, description="fusions of a complex edit"
    )
    complexity_threshold: float = Field(default=2.5, ge=0, description="from this complexity on, the larger schedule")

    def schedule(self, name: Literal["smaller", "larger"]) -> FusionConfig:
        """One of the two, resolved; raises pydantic's ValidationError where its layers do not rise."""
        layers = self.smaller if name == "smaller" else self.larger
        return FusionConfig(input=self.input, layers=layers, joint=self.joint, mask_layers=self.mask_layers)


class FusionDecision(BaseModel):
    """Which schedule the rule chose, and from what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["smaller", "larger"]
    attributes: int = Field(ge=1, description="number of attributes edited at once")
    region_area: float = Field(ge=0, le=1, description="mean share of the image that their region covers")
    complexity: float
    threshold: float


def complexity(attributes: int, area: float) -> float:
    """Editing complexity: attributes × (1 + area / 0.25) (METHODS A6: from their number and the region's area).

    It rises with both; `area` is the mean share of the image that the region covers, in [0, 1].
    """
    return attributes * (1 + area / AREA_UNIT)


def schedule_for(presets: FusionPresets, attributes: int, area: float) -> tuple[FusionConfig, FusionDecision]:
    """The larger schedule where the complexity is at or above the threshold, else the smaller; and the decision."""
    found = complexity(attributes, area)
    name: Literal["smaller", "larger"] = "larger" if found >= presets.complexity_threshold else "smaller"
    decision = FusionDecision(
        preset=name, attributes=attributes, region_area=area, complexity=found, threshold=presets.complexity_threshold
    )
    return presets.schedule(name), decision


def evenly_spread(count: int, most: int = MEASURED_IMAGES) -> NDArray[np.int64]:
    """Up to `most` of `count` rows, evenly spread over them."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64) if count else np.empty(0, np.int64)


@torch.no_grad()
def mean_region_area(mask_source: MaskSource, images: NDArray[np.uint8], device: torch.device | str = "cpu") -> float:
    """Mean share of the image that the region covers, by the mask source, on uint8 images N×H×W×3; N > 0."""
    areas: list[float] = []
    for start in range(0, len(images), BATCH_SIZE):
        pixels = torch.from_numpy(images[start : start + BATCH_SIZE]).to(device)
        masks = mask_source(pixels.permute(0, 3, 1, 2) / 127.5 - 1)  # N×H×W×3 → N×3×H×W in [-1, 1]
        areas += masks.mean(dim=(1, 2, 3)).tolist()
    return float(np.mean(areas))
