"""What mixing two images by a mask leaves to be seen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.joint_mask import dilate

LEVELS = 127.5  # 8-bit levels per unit of [-1, 1]


def seam_levels(original: Tensor, feature: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """How much steeper the target is along the mask's edge than either image it was made of, in 8-bit levels: N.

    Shapes: images N×3×H×W in [-1, 1], mask N×1×H×W. The edge is two pixels wide; 0 means that no seam shows.
    """
    solid = (mask >= 0.5).to(target.dtype)
    edge = dilate(solid, 1) * dilate(1 - solid, 1)  # N×1×H×W
    allowed = torch.maximum(_steepness(original), _steepness(feature))
    excess = (_steepness(target) - allowed).clamp_min(0) * edge
    return excess.sum(dim=(1, 2, 3)) / edge.sum(dim=(1, 2, 3)).clamp_min(1) * LEVELS


def _steepness(images: Tensor) -> Tensor:
    """Change towards the right and the lower neighbour, mean over the colours: N×3×H×W → N×1×H×W."""
    right = F.pad((images[..., :, 1:] - images[..., :, :-1]).abs(), (0, 1, 0, 0))
    down = F.pad((images[..., 1:, :] - images[..., :-1, :]).abs(), (0, 0, 0, 1))
    return (right + down).mean(dim=1, keepdim=True)
