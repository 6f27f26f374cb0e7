"""The residual discriminator (arXiv 1912.04958, §4.1) with minibatch standard deviation (arXiv 1710.10196, §3)."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.stylegan2.architecture import FIRST_SIZE_PX, DiscriminatorConfig, sizes
from training.stylegan2.layers import EqualConv, EqualLinear


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a 1×1 bypass, half the size; N×in×H×W → N×out×H/2×W/2.

    The bypass is halved by 2×2 means instead of the [1, 3, 3, 1] filter, whose strided backward pass is slow on a CPU.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = math.sqrt(0.5)  # keeps the variance of the sum of both paths at that of one
        self.conv1 = EqualConv(inputs, inputs, 3)
        self.conv2 = EqualConv(inputs, outputs, 3, down=True, gain=half)
        self.bypass = EqualConv(inputs, outputs, 1, activate=False, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(x)) + self.bypass(F.avg_pool2d(x, 2))
        return y


class Discriminator(nn.Module):
    """Realness logit of each image; groups of the minibatch deviation are consecutive images."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        descending = sizes(config.size_px)[::-1]
        channels = [config.channels[size] for size in descending]
        last = channels[-1]
        self.from_rgb = EqualConv(3, channels[0], 1)
        steps = zip(descending, pairwise(channels), strict=False)  # one block fewer than sizes
        self.blocks = nn.ModuleDict({str(size): ResidualBlock(a, b) for size, (a, b) in steps})
        self.final_conv = EqualConv(last + 1, last, 3)
        self.hidden = EqualLinear(last * FIRST_SIZE_PX**2, last, activate=True)
        self.logit = EqualLinear(last, 1)

    def forward(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Logits of images: N×3×H×W float32 → N; the blocks compute in `dtype`, the last layers in the parameters'."""
        x = self.features(images, dtype)[-1].to(self.logit.weight.dtype)
        x = self.final_conv(minibatch_deviation(x, self.config.group_size))
        logits: Tensor = self.logit(self.hidden(x.flatten(1)))  # N×C×4×4 → N×C·16 → N×1
        return logits.squeeze(1)

    def features(self, images: Tensor, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Outputs of the blocks, from the finest to 4×4: what a feature-matching loss compares."""
        x = self.from_rgb(images.to(dtype).contiguous(memory_format=torch.channels_last))
        outputs = []
        for block in self.blocks.values():
            x = block(x)
            outputs.append(x)
        return outputs


def minibatch_deviation(x: Tensor, group_size: int) -> Tensor:
    """Append a channel with the mean standard deviation over groups of images: N×C×H×W → N×(C+1)×H×W."""
    n, _, height, width = x.shape
    group = math.gcd(n, group_size)
    y = x.reshape(n // group, group, -1)  # N×C×H×W → groups × images × C·H·W
    deviation = (y.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=1)  # one per group
    channel = deviation.repeat_interleave(group)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x, channel], dim=1)
