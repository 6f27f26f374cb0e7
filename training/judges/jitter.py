"""Small changes of training images, so that blurred, shifted or slightly off-colour faces are judged fairly too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

TURN_DEG = 4.0
SCALE = 0.06
SHIFT = 0.06  # of half the side: 2 px at 64
GAIN, OFFSET = 0.15, 0.10
NOISE = 0.04


@dataclass(frozen=True)
class Jittered:
    """float32 N×3×H×W in [-1, 1], the region labels moved alike (int64 N×H×W), each image's turn in degrees."""

    images: Tensor
    regions: Tensor
    turn_deg: Tensor


def jitter(images: Tensor, regions: Tensor, generator: Generator, strength: float = 1.0) -> Jittered:
    """Jitter uint8 N×H×W×3 images and uint8 N×H×W labels; half the images keep their geometry."""
    x = to_float(images)
    theta, turn_deg = _draw_similarities(len(x), generator, strength)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    labels = F.grid_sample(regions[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return Jittered(_colours(x, generator, strength), labels[:, 0].long(), turn_deg)


def to_float(images: Tensor) -> Tensor:
    """uint8 N×H×W×3 → float32 N×3×H×W in [-1, 1], channels last."""
    return images.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _draw_similarities(n: int, generator: Generator, strength: float) -> tuple[Tensor, Tensor]:
    """N×2×3 maps from output to input coordinates in [-1, 1], and the turns that they make, in degrees."""
    draws = (torch.rand(n, 4, generator=generator) * 2 - 1) * strength
    draws *= (torch.rand(n, 1, generator=generator) < 0.5).float()
    turn_deg = draws[:, 0] * TURN_DEG
    scale = 1 + draws[:, 1] * SCALE
    shift = draws[:, 2:] * SHIFT
    # out = s·R·in + t, so in = R⁻¹·(out − t)/s
    cos, sin = torch.cos(turn_deg * (math.pi / 180)) / scale, torch.sin(turn_deg * (math.pi / 180)) / scale
    back = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    offset = -(back @ shift[:, :, None])
    return torch.cat([back, offset], dim=2), turn_deg


def _colours(x: Tensor, generator: Generator, strength: float) -> Tensor:
    """Brightness, contrast, colour cast, blur and noise, each of a random amount per image."""
    n = len(x)

    def signed(channels: int) -> Tensor:
        return (torch.rand(n, channels, 1, 1, generator=generator) * 2 - 1) * strength

    blur = torch.rand(n, 1, 1, 1, generator=generator) * strength * (signed(1) > 0)
    noise = torch.rand(n, 1, 1, 1, generator=generator) * strength * NOISE * (signed(1) > 0)
    x = x * (1 + GAIN * signed(1)) + OFFSET * signed(1) + 0.4 * OFFSET * signed(3)
    x = torch.lerp(x, _blurred(x), blur)
    x = x + noise * torch.randn(x.shape, generator=generator)
    return x.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def _blurred(x: Tensor) -> Tensor:
    """Each channel through the 3×3 binomial kernel."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(3, 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
