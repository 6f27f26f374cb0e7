"""The mapping (noise conversion) network M: z → w (arXiv 1912.04958; arXiv 1812.04948 for the truncation)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from training.stylegan2.architecture import GeneratorConfig
from training.stylegan2.layers import EqualLinear

LR_MULTIPLIER = 0.01
AVERAGE_DECAY = 0.998


class Mapping(nn.Module):
    """Fully connected network on normalised z, with the running mean of w for truncation."""

    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.layers = nn.ModuleList(
            EqualLinear(a, b, activate=True, lr_multiplier=LR_MULTIPLIER) for a, b in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """Latents w of z: N×z_dim → N×w_dim; `truncation_psi` below 1 pulls w towards its mean."""
        w = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = layer(w)
        return w if truncation_psi == 1.0 else self.w_avg.lerp(w, truncation_psi)

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Move the running mean towards the mean of w (N×w_dim)."""
        self.w_avg.lerp_(w.detach().mean(dim=0), 1.0 - AVERAGE_DECAY)
