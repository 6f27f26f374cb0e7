"""The editor's network: a U-Net that predicts colours and where to put them."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

SIZE_DIVISOR = 16
SLOPE = 0.2


class EditorConfig(BaseModel):
    """Shape of the editor's network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(default=64, ge=16, multiple_of=SIZE_DIVISOR, description="side of the training images, pixels")
    channels: tuple[int, int, int] = Field(default=(32, 64, 96), description="channels at 1/2, 1/4 and 1/8 of the side")
    detail_channels: int = Field(default=16, ge=4, le=128, description="channels at the full side, before the output")
    bottleneck_blocks: int = Field(default=2, ge=1, le=8, description="residual blocks at 1/8 of the side")


class EditorOutput(NamedTuple):
    """What the network says about a batch: N×3×H×W edited images, N×1×H×W logits of alpha."""

    images: Tensor
    alpha_logits: Tensor


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside the identity.

    The second starts at a tenth of its usual weight, which lets the network do without normalisation layers:
    those cost as much as a convolution on a CPU and tie an image to the statistics of its batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x + inner


class EditorNetwork(nn.Module):
    """U-Net with additive skips; the full resolution is reached only by two cheap layers.

    Colours `rgb` and blending mask `alpha` give `y = x·(1 − alpha) + alpha·rgb`: where alpha is 0 a pixel stays the
    input's own.
    """

    def __init__(self, config: EditorConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.channels
        self.stem = _conv(3 * 4, half)
        self.encode_half = ResidualBlock(half)
        self.down_quarter = _conv(half, quarter, stride=2)
        self.encode_quarter = ResidualBlock(quarter)
        self.down_eighth = _conv(quarter, eighth, stride=2)
        self.bottleneck = nn.Sequential(*(ResidualBlock(eighth) for _ in range(config.bottleneck_blocks)))
        self.up_quarter = _conv(eighth, quarter, kernel=1)
        self.decode_quarter = ResidualBlock(quarter)
        self.up_half = _conv(quarter, half, kernel=1)
        self.decode_half = ResidualBlock(half)
        self.detail = _conv(half, 4 * config.detail_channels)
        self.output = _conv(config.detail_channels + 3, 4)

    def features(self, x: Tensor) -> Tensor:
        """Features at the full side: N×3×H×W → N×detail_channels×H×W."""
        half = self.encode_half(self.stem(F.pixel_unshuffle(x, 2)))  # N×12×H/2×W/2 → N×C1×H/2×W/2
        quarter = self.encode_quarter(self.down_quarter(F.leaky_relu(half, SLOPE)))
        low = self.bottleneck(self.down_eighth(F.leaky_relu(quarter, SLOPE)))
        quarter = self.decode_quarter(quarter + F.interpolate(self.up_quarter(low), scale_factor=2))
        half = self.decode_half(half + F.interpolate(self.up_half(quarter), scale_factor=2))
        detail = self.detail(F.leaky_relu(half, SLOPE))
        return F.leaky_relu(F.pixel_shuffle(detail, 2), SLOPE)  # N×4D×H/2×W/2 → N×D×H×W

    def forward(self, x: Tensor) -> EditorOutput:
        """Edited images and alpha's logits of images N×3×H×W in [-1, 1], H and W divisible by 16."""
        output = self.output(torch.cat([self.features(x), x], dim=1))
        rgb, alpha_logits = output[:, :3].float(), output[:, 3:].float()
        alpha = torch.sigmoid(alpha_logits)
        return EditorOutput(x * (1 - alpha) + alpha * rgb, alpha_logits)
