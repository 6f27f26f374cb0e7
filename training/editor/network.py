"""The editor's network: a U-Net that predicts colours and where to put them."""

from __future__ import annotations

import math
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
    palette: int = Field(default=8, ge=1, le=64, description="colours that are looked up in the input")
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


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside the identity; one normalisation, over the image's own channel groups.

    The second convolution starts at a tenth of its usual weight, so that the block begins near the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(channels, 8), channels)
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(self.norm(x), SLOPE)), SLOPE))
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
        with torch.no_grad():  # the four pixels of a cell start alike: no checkerboard (arXiv 1707.02937)
            self.detail.weight.copy_(self.detail.weight[::4].repeat_interleave(4, dim=0))
        outputs = 4 + config.palette  # red, green, blue, alpha's logit, each palette colour's logit
        self.look_up = _conv(half, config.palette, kernel=1)
        self.output = _conv(config.detail_channels + 3, outputs)
        self.coarse = nn.ModuleList(_conv(channels, outputs, kernel=1) for channels in (eighth, quarter, half))
        with torch.no_grad():
            for layer in (self.output, *self.coarse):
                layer.weight.mul_(0.3)  # four such layers add up

    def forward(self, x: Tensor) -> EditorOutput:
        """Edited images and alpha's logits of images N×3×H×W in [-1, 1], H and W divisible by 16."""
        half, output = self._trunk(x)
        detail = F.pixel_shuffle(self.detail(half), 2)  # N×4D×H/2×W/2 → N×D×H×W
        fine: Tensor = self.output(torch.cat([F.leaky_relu(detail, SLOPE), x], dim=1))
        output = (fine + _twice(output)).float()  # N×(3 + 1 + palette)×H×W
        residual, alpha_logits, mixture = output[:, :3], output[:, 3:4], output[:, 4:].softmax(dim=1)
        rgb = residual + torch.einsum("nphw,npc->nchw", mixture, self._palette(x, half))
        alpha = torch.sigmoid(alpha_logits)
        return EditorOutput(x * (1 - alpha) + alpha * rgb, alpha_logits)

    def _palette(self, x: Tensor, half: Tensor) -> Tensor:
        """Colours of the input by name, as it were (its hair's, skin's, background's …): N×palette×3.

        Each is the mean over the places that `look_up` picks. Edits repaint with colours that are in the image:
        they need not be learnt, and an image in unseen colours keeps its own.
        """
        where = self.look_up(half).float().flatten(2).softmax(dim=2)  # N×P×H/2×W/2 → N×P×HW/4
        colours = F.avg_pool2d(x, 2).flatten(2)  # N×3×H×W → N×3×HW/4
        return torch.einsum("npi,nci->npc", where, colours)

    def _trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activated features at half the side, and what each resolution up to it has to say of the output, summed.

        As in StyleGAN2's skip generator: what is settled at 1/8 of the side need not be carried through the
        layers above.
        """
        half = self.encode_half(self.stem(F.pixel_unshuffle(x, 2)))  # N×12×H/2×W/2 → N×C1×H/2×W/2
        quarter = self.encode_quarter(self.down_quarter(F.leaky_relu(half, SLOPE)))
        low = self.bottleneck(self.down_eighth(F.leaky_relu(quarter, SLOPE)))
        quarter = self.decode_quarter(quarter + F.interpolate(self.up_quarter(low), scale_factor=2))
        half = self.decode_half(half + F.interpolate(self.up_half(quarter), scale_factor=2))
        output = self.coarse[0](low)
        for layer, features in zip(self.coarse[1:], (quarter, half), strict=True):
            output = layer(features) + _twice(output)
        return F.leaky_relu(half, SLOPE), output
