"""The editor's losses: pure functions of tensors that return a scalar.

Images N×3×H×W in [-1, 1], masks N×1×H×W in [0, 1] with 1 = may change.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def held_target(original: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The target inside the mask, the original outside, the seam feathered by one pixel: N×3×H×W.

    Fused features reach a little past the mask. What leaks there is no part of the edit, so the editor never sees it.
    """
    feathered = F.avg_pool2d(F.pad(mask, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return original + feathered * (target - original)


def masked_l1(output: Tensor, expected: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error over the weight's area, so that a small region counts as much as a large one."""
    error = (output - expected).abs().mean(dim=1, keepdim=True)  # N×3×H×W → N×1×H×W
    return (error * weight).sum() / weight.sum().clamp_min(1.0)


def alpha_supervision(alpha_logits: Tensor, mask: Tensor, inside_weight: float) -> Tensor:
    """Cross-entropy of the predicted blending mask against the pair's mask, lighter inside it.

    Inside, a pixel that the edit leaves alone may stay the input's own; outside it must.
    """
    weight = mask * inside_weight + (1 - mask)
    return F.binary_cross_entropy_with_logits(alpha_logits, mask, weight=weight)


def discriminator_hinge(real_scores: Tensor, edited_scores: Tensor) -> Tensor:
    """Hinge loss of the discriminator (arXiv 1705.02894)."""
    return F.relu(1 - real_scores).mean() + F.relu(1 + edited_scores).mean()


def editor_hinge(edited_scores: Tensor) -> Tensor:
    """Hinge loss of the editor against the discriminator."""
    return -edited_scores.mean()


def attribute_absence(probability: Tensor) -> Tensor:
    """Mean negative log-probability N that the edited images carry the attribute."""
    return -probability.clamp_min(1e-4).log().mean()
