"""The editor's opponent: says of each patch whether its edit is a pair's or the editor's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Three strided convolutions over (input, output), a score per 8×8 cell.

    Spectral normalisation (arXiv 1802.05957) keeps it from running away while the editor is still blurred.
    Source: pix2pix, arXiv 1611.07004, section 3.2.2.
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(6, channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(channels, 2 * channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * channels, 4 * channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(4 * channels, 1, 3, 1, 1)),
        )

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Scores N×1×H/8×W/8 of inputs and outputs N×3×H×W."""
        scores: Tensor = self.layers(torch.cat([inputs, outputs], dim=1))
        return scores.to(inputs.dtype)


class MultiScaleDiscriminator(nn.Module):
    """The same patch discriminator at the full side, at 1/2, at 1/4 …: each sees twice as far as the one before.

    Source: pix2pixHD, arXiv 1711.11585, section 3.2.
    """

    def __init__(self, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator() for _ in range(scales))

    def forward(self, inputs: Tensor, outputs: Tensor) -> list[Tensor]:
        """Scores of each scale, the full side first: N×1×H/8×W/8, N×1×H/16×W/16, …"""
        scores = []
        for number, discriminator in enumerate(self.scales):
            if number:
                inputs, outputs = F.avg_pool2d(inputs, 2), F.avg_pool2d(outputs, 2)
            scores.append(discriminator(inputs, outputs))
        return scores
