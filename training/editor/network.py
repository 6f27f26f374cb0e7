"""The editor's network: a U-Net that predicts colours and where to put them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

SIZE_DIVISOR = 16  # at least; deeper networks ask for more, see EditorConfig.divisor
SHALLOWEST, BOTTLENECK_PX = 3, 16
CHANNEL_LIMIT = 192
PALETTE_LIFT = 1024.0
SLOPE = 0.2


def levels_for(size_px: int) -> int:
    """Halvings that bring a side to 16 px or less, three at least: 3 up to 128 px, 4 at 256, 5 at 512, 6 at 1024."""
    return max(SHALLOWEST, math.ceil(math.log2(size_px / BOTTLENECK_PX)))


def widths_for(channels: tuple[int, int, int], levels: int) -> tuple[int, ...]:
    """Channels of each level: the given three, then twice the level above until 192 are reached."""
    widths = list(channels)
    while len(widths) < levels:
        widths.append(max(widths[-1], min(2 * widths[-1], CHANNEL_LIMIT)))
    return tuple(widths)


class EditorConfig(BaseModel):
    """Shape of the editor's network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(default=64, ge=16, description="side of the training images, pixels")
    channels: tuple[int, ...] = Field(
        default=(32, 64, 96), min_length=SHALLOWEST, description="channels at 1/2, 1/4, 1/8 … of the side"
    )
    detail_channels: int = Field(default=16, ge=4, le=128, description="channels at the full side, before the output")
    palette: int = Field(default=8, ge=1, le=64, description="colours that are looked up in the input")
    bottleneck_blocks: int = Field(default=2, ge=1, le=8, description="residual blocks at the lowest level")
    blend: bool = Field(default=True, description="blend with the input by a predicted mask")

    @model_validator(mode="after")
    def _side_halves_at_each_level(self) -> EditorConfig:
        if self.size_px % self.divisor:
            raise ValueError(f"size_px is {self.size_px}, expected a multiple of {self.divisor}")
        return self

    @property
    def levels(self) -> int:
        """How often the side is halved."""
        return len(self.channels)

    @property
    def divisor(self) -> int:
        """What the sides of an image must be divisible by."""
        return max(SIZE_DIVISOR, 1 << self.levels)


class EditorOutput(NamedTuple):
    """What the network says about a batch: N×3×H×W edited images, N×1×H×W logits of alpha.

    Without blending alpha is 1 everywhere: its logits are infinite.
    """

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


class DeepLevel(nn.Module):
    """What a side above 128 px adds between 1/8 of the side and the bottleneck: a level down and up again."""

    def __init__(self, upper: int, lower: int) -> None:
        super().__init__()
        self.encode = ResidualBlock(upper)
        self.down = _conv(upper, lower, stride=2)
        self.up = _conv(lower, upper, kernel=1)
        self.decode = ResidualBlock(upper)

    def descend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """This level's features N×U×h×w and those handed down N×L×h/2×w/2."""
        features: Tensor = self.encode(x)
        return features, self.down(F.leaky_relu(features, SLOPE))

    def ascend(self, features: Tensor, low: Tensor) -> Tensor:
        """This level's features with those from below added: N×U×h×w."""
        decoded: Tensor = self.decode(features + F.interpolate(self.up(low), scale_factor=2))
        return decoded


class EditorNetwork(nn.Module):
    """U-Net with additive skips; the full resolution is reached only by two cheap layers.

    Colours `rgb` and blending mask `alpha` give `y = x·(1 − alpha) + alpha·rgb`: where alpha is 0 a pixel stays the
    input's own. Without blending y = rgb.
    """

    def __init__(self, config: EditorConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.channels[:SHALLOWEST]
        deep = config.channels[SHALLOWEST - 1 :]
        self.stem = _conv(3 * 4, half)
        self.encode_half = ResidualBlock(half)
        self.down_quarter = _conv(half, quarter, stride=2)
        self.encode_quarter = ResidualBlock(quarter)
        self.down_eighth = _conv(quarter, eighth, stride=2)
        self.deep = nn.ModuleList(DeepLevel(upper, lower) for upper, lower in pairwise(deep))
        self.bottleneck = nn.Sequential(*(ResidualBlock(deep[-1]) for _ in range(config.bottleneck_blocks)))
        self.up_quarter = _conv(eighth, quarter, kernel=1)
        self.decode_quarter = ResidualBlock(quarter)
        self.up_half = _conv(quarter, half, kernel=1)
        self.decode_half = ResidualBlock(half)
        self.detail = _conv(half, 4 * config.detail_channels)
        with torch.no_grad():  # the four pixels of a cell start alike: no checkerboard (arXiv 1707.02937)
            self.detail.weight.copy_(self.detail.weight[::4].repeat_interleave(4, dim=0))
        # red, green, blue, alpha's logit where there is blending, each palette colour's logit
        outputs = 3 + config.blend + config.palette
        self.look_up = _conv(half, config.palette, kernel=1)
        self.output = _conv(config.detail_channels + 3, outputs)
        self.coarse = nn.ModuleList(_conv(width, outputs, kernel=1) for width in reversed(config.channels))
        with torch.no_grad():
            for layer in (self.output, *self.coarse):
                layer.weight.mul_(0.3)  # the layers add up

    def forward(self, x: Tensor) -> EditorOutput:
        """Edited images and alpha's logits of images N×3×H×W in [-1, 1], H and W multiples of `divisor`."""
        half, output = self._trunk(x)
        detail = F.pixel_shuffle(self.detail(half), 2)  # N×4D×H/2×W/2 → N×D×H×W
        fine: Tensor = self.output(torch.cat([F.leaky_relu(detail, SLOPE), x], dim=1))
        output = (fine + _twice(output)).to(x.dtype)  # N×(3 + 1 + palette)×H×W, one less without blending
        mixture = output[:, 3 + self.config.blend :].softmax(dim=1)
        rgb = output[:, :3] + torch.einsum("nphw,npc->nchw", mixture, self._palette(x, half))
        if not self.config.blend:
            return EditorOutput(rgb, torch.full_like(rgb[:, :1], torch.inf))
        alpha_logits = output[:, 3:4]
        alpha = torch.sigmoid(alpha_logits)
        return EditorOutput(x * (1 - alpha) + alpha * rgb, alpha_logits)

    def _palette(self, x: Tensor, half: Tensor) -> Tensor:
        """Colours of the input by name, as it were (its hair's, skin's, background's …): N×palette×3.

        Each is the mean over the places that `look_up` picks. Edits repaint with colours that are in the image:
        they need not be learnt, and an image in unseen colours keeps its own.
        """
        where = self.look_up(half).to(x.dtype).flatten(2).softmax(dim=2)  # N×P×H/2×W/2 → N×P×HW/4
        colours = F.avg_pool2d(x, 2).flatten(2)  # N×3×H×W → N×3×HW/4
        # At large sizes the weights fall below fp16's normal numbers. A power of two lifts them and rounds nothing.
        return torch.einsum("npi,nci->npc", where * PALETTE_LIFT, colours) / PALETTE_LIFT

    def _trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activated features at half the side, and what each resolution up to it has to say of the output, summed.

        As in StyleGAN2's skip generator: what is settled at the lowest level need not be carried through the
        layers above.
        """
        half = self.encode_half(self.stem(F.pixel_unshuffle(x, 2)))  # N×12×H/2×W/2 → N×C1×H/2×W/2
        quarter = self.encode_quarter(self.down_quarter(F.leaky_relu(half, SLOPE)))
        eighth, rising = self._deep_trunk(self.down_eighth(F.leaky_relu(quarter, SLOPE)))
        quarter = self.decode_quarter(quarter + F.interpolate(self.up_quarter(eighth), scale_factor=2))
        half = self.decode_half(half + F.interpolate(self.up_half(quarter), scale_factor=2))
        output = self.coarse[0](rising[0])
        for layer, features in zip(self.coarse[1:], (*rising[1:], quarter, half), strict=True):
            output = layer(features) + _twice(output)
        return F.leaky_relu(half, SLOPE), output

    def _deep_trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features at 1/8 of the side after all below it, and each level's from the lowest up to those."""
        kept = []
        for level in self.deep:
            features, x = level.descend(x)  # type: ignore[operator]
            kept.append(features)
        rising = [self.bottleneck(x)]
        for level, features in zip(reversed(self.deep), reversed(kept), strict=True):
            rising.append(level.ascend(features, rising[-1]))  # type: ignore[operator]
        return rising[-1], rising
