"""Random changes: alike to both images of a pair, as photographs bring them, and of what a judge in a loss sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.distributed.ranks import RowSource


class AugmentConfig(BaseModel):
    """Largest change of each kind; 0 switches a kind off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(default=0.04, ge=0, le=0.3, description="translation, share of the image's side")
    scale: float = Field(default=0.06, ge=0, le=0.5, description="relative change of size")
    rotation_deg: float = Field(default=5.0, ge=0, le=45, description="rotation, degrees")
    brightness: float = Field(default=0.2, ge=0, le=1, description="added to all channels, of a range of 2")
    contrast: float = Field(default=0.2, ge=0, lt=1, description="relative change of contrast")
    colour: float = Field(default=0.08, ge=0, lt=1, description="relative change of each channel")
    sharpness: float = Field(default=0.5, ge=0, le=1, description="share of blur removed or added")
    noise: float = Field(default=0.03, ge=0, le=0.5, description="standard deviation of noise, of a range of 2")
    flip: bool = Field(default=False, description="mirror half of the pairs; wrong where hair has a parted side")


@dataclass(frozen=True)
class PairBatch:
    """Original and target N×3×H×W in [-1, 1], joint mask N×1×H×W in [0, 1]."""

    original: Tensor
    target: Tensor
    mask: Tensor


def augment(batch: PairBatch, config: AugmentConfig, rng: RowSource) -> PairBatch:
    """The batch with one random change per pair, the same for original and target: shapes as given."""
    moved = _move(torch.cat([batch.original, batch.target, batch.mask], dim=1), config, rng)  # N×7×H×W
    images = _recolour(moved[:, :6], config, rng)
    images = _add_noise(_resharpen(images, config, rng), config, rng).clamp(-1, 1)
    return PairBatch(images[:, :3], images[:, 3:], moved[:, 6:])


def view(images: Tensor, config: AugmentConfig, rng: RowSource) -> Tensor:
    """Images N×3×H×W with one random change each: what a judge in a loss is shown.

    A frozen judge that always sees the very pixels is pleased with changes that no other judge sees; what it must find
    again after a shift, a turn, noise and other colours has to be there (expectation over transformation, arXiv
    1707.07397).
    """
    changed = _recolour(_move(images, config, rng), config, rng)
    return _add_noise(_resharpen(changed, config, rng), config, rng).clamp(-1, 1)


def _uniform(rng: RowSource, like: Tensor, bound: float, *shape: int) -> Tensor:
    return torch.from_numpy(rng.uniform(-bound, bound, shape).astype(np.float32)).to(like)


def _move(stack: Tensor, config: AugmentConfig, rng: RowSource) -> Tensor:
    count = stack.shape[0]
    angle = torch.deg2rad(_uniform(rng, stack, config.rotation_deg, count))
    size = 1 + _uniform(rng, stack, config.scale, count)
    shift = 2 * _uniform(rng, stack, config.shift, count, 2)  # grid coordinates span 2
    mirror = torch.from_numpy(np.where(rng.random(count) < 0.5, -1.0, 1.0).astype(np.float32)).to(stack)
    sign = mirror if config.flip else torch.ones_like(mirror)
    cosine, sine = size * torch.cos(angle), size * torch.sin(angle)
    rows = [torch.stack([sign * cosine, -sine, shift[:, 0]], 1), torch.stack([sign * sine, cosine, shift[:, 1]], 1)]
    theta = torch.stack(rows, dim=1)  # N×2×3
    grid = F.affine_grid(theta, list(stack.shape), align_corners=False)
    return F.grid_sample(stack, grid, padding_mode="border", align_corners=False)


def _recolour(images: Tensor, config: AugmentConfig, rng: RowSource) -> Tensor:
    count = images.shape[0]
    contrast = 1 + _uniform(rng, images, config.contrast, count, 1, 1, 1)
    gains = contrast * (1 + _uniform(rng, images, config.colour, count, 3, 1, 1))
    brightness = _uniform(rng, images, config.brightness, count, 1, 1, 1)
    return images * gains.repeat(1, images.shape[1] // 3, 1, 1) + brightness


def _resharpen(images: Tensor, config: AugmentConfig, rng: RowSource) -> Tensor:
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    blurred = F.avg_pool2d(padded, 3, stride=1)
    # The cubed draw leaves most pairs nearly as sharp as they were.
    share = config.sharpness * _uniform(rng, images, 1.0, images.shape[0], 1, 1, 1) ** 3
    return images + share * (blurred - images)


def _add_noise(images: Tensor, config: AugmentConfig, rng: RowSource) -> Tensor:
    count, channels, height, width = images.shape
    strength = torch.from_numpy((config.noise * rng.random((count, 1, 1, 1))).astype(np.float32)).to(images)
    noise = torch.from_numpy(rng.standard_normal((count, 3, height, width), dtype=np.float32)).to(images)
    return images + (strength * noise).repeat(1, channels // 3, 1, 1)
