"""The generator: mapping and synthesis together."""

import torch
from torch import Tensor, nn

from training.stylegan2.architecture import GeneratorConfig
from training.stylegan2.mapping import Mapping
from training.stylegan2.synthesis import Noise, Synthesis


class Generator(nn.Module):
    """z → image; `mapping` and `synthesis` are used apart where w, W+ or a layer is needed."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)

    def forward(
        self, z: Tensor, noise: Noise | None, truncation_psi: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Images of z: N×z_dim → N×3×size×size, about [-1, 1]."""
        image: Tensor = self.synthesis(self.mapping(z, truncation_psi), noise, dtype)
        return image
