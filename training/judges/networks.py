"""The judges' networks: a small residual trunk with a linear head, and a small U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

JUDGE_SIZE_PX = 64
TRUNK_STRIDE = 16


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch norm and a 1×1 shortcut (He et al., arXiv 1512.03385)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        plain = stride == 1 and c_in == c_out
        self.shortcut: nn.Module = nn.Identity() if plain else nn.Conv2d(c_in, c_out, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×C'×(H/stride)×(W/stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        shorter = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        return F.relu(y + self.shortcut(shorter))


class VectorNet(nn.Module):
    """A residual trunk to 4×4, flattened (aligned faces keep their places), then `embed`, then `head`.

    Shapes: N×3×64×64 in [-1, 1] → `embedding` N×embed → `forward` N×outputs.
    With outputs = 0 there is no head: `forward` is the embedding.
    """

    def __init__(self, widths: Sequence[int], depth: int, embed: int, outputs: int) -> None:
        super().__init__()
        stem, *rest = widths
        self.stem = nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        blocks: list[nn.Module] = []
        c = stem
        for width in rest:
            blocks += [ResidualBlock(c, width, 2), *(ResidualBlock(width, width, 1) for _ in range(depth - 1))]
            c = width
        self.blocks = nn.Sequential(*blocks)
        self.squeeze = nn.Conv2d(c, c // 2, 1, bias=False)
        self.squeeze_norm = nn.BatchNorm2d(c // 2)
        side = JUDGE_SIZE_PX // 2 ** len(widths)
        self.embed = nn.Linear(c // 2 * side * side, embed, bias=False)
        self.embed_norm = nn.BatchNorm1d(embed)
        self.head: nn.Module = nn.Linear(embed, outputs) if outputs else nn.Identity()

    def embedding(self, x: Tensor) -> Tensor:
        """Return the penultimate vector, N×embed, before any non-linearity."""
        y = F.relu(self.stem_norm(self.stem(x)))
        y = F.relu(self.squeeze_norm(self.squeeze(self.blocks(y))))
        vector: Tensor = self.embed_norm(self.embed(y.flatten(1)))  # N×C×4×4 → N×16C → N×embed
        return vector

    def forward(self, x: Tensor) -> Tensor:
        """Return N×outputs (N×embed without a head)."""
        if isinstance(self.head, nn.Identity):
            return self.embedding(x)
        out: Tensor = self.head(F.relu(self.embedding(x)))
        return out


def _double_conv(c_in: int, c_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c in (c_in, c_out):
        layers += [nn.Conv2d(c, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers)


class ParserNet(nn.Module):
    """A U-Net over N×3×64×64 giving N×classes×64×64 logits (Ronneberger et al., arXiv 1505.04597).

    Its full-resolution level is one thin convolution each way: that is where the time would go.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        full, *rest = widths
        self.first = nn.Sequential(nn.Conv2d(3, full, 3, padding=1, bias=False), nn.BatchNorm2d(full), nn.ReLU())
        inputs = [full, *rest[:-1]]
        self.down = nn.ModuleList(_double_conv(a, b) for a, b in zip(inputs, rest, strict=True))
        ups = list(zip(reversed(rest[1:]), reversed(rest[:-1]), strict=True))
        self.up = nn.ModuleList(_double_conv(deep + skip, skip) for deep, skip in ups)
        self.last = nn.Conv2d(rest[0] + full, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits N×K×64×64."""
        skips = [self.first(x)]
        for level in self.down:
            skips.append(level(F.max_pool2d(skips[-1], 2)))
        y = skips.pop()
        for level in self.up:
            y = level(torch.cat([F.interpolate(y, scale_factor=2.0), skips.pop()], dim=1))
        out: Tensor = self.last(torch.cat([F.interpolate(y, scale_factor=2.0), skips.pop()], dim=1))
        return out
