"""The editor's losses: pure functions of tensors that return a scalar.

Images N×3×H×W in [-1, 1], masks N×1×H×W in [0, 1] with 1 = may change.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def held_target(original: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The target inside the mask, the original outside, the seam feathered by one pixel: N×3×H×W.

    Fused features reach a little past the mask. What leaks there is no part of the edit, so the editor never sees it.
    """
    feathered = F.avg_pool2d(F.pad(mask, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return original + feathered * (target - original)


def masked_l1(output: Tensor, expected: Tensor, weight: Tensor, area: Tensor | None = None) -> Tensor:
    """Mean absolute error over the weight's area, so that a small region counts as much as a large one.

    `area` stands for it where the images are one rank's of several: the mean of what the ranks' weights cover.
    """
    error = (output - expected).abs().mean(dim=1, keepdim=True)  # N×3×H×W → N×1×H×W
    return (error * weight).sum() / (weight.sum().clamp_min(1.0) if area is None else area)


def alpha_supervision(alpha_logits: Tensor, mask: Tensor, inside_weight: float) -> Tensor:
    """Cross-entropy of the predicted blending mask against the pair's mask, lighter inside it.

    Inside, a pixel that the edit leaves alone may stay the input's own; outside it must.
    """
    weight = mask * inside_weight + (1 - mask)
    return F.binary_cross_entropy_with_logits(alpha_logits, mask, weight=weight)


def discriminator_hinge(real_scores: Sequence[Tensor], edited_scores: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the discriminator (arXiv 1705.02894), the mean over its scales."""
    losses = [F.relu(1 - r).mean() + F.relu(1 + e).mean() for r, e in zip(real_scores, edited_scores, strict=True)]
    return torch.stack(losses).mean()


def editor_hinge(edited_scores: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the editor against the discriminator, the mean over its scales."""
    return -torch.stack([scores.mean() for scores in edited_scores]).mean()


def attribute_absence(probability: Tensor) -> Tensor:
    """Mean negative log-probability N that the edited images carry the attribute."""
    return -probability.clamp_min(1e-4).log().mean()


def identity_drift(edited_vectors: Tensor, original_vectors: Tensor) -> Tensor:
    """Mean of 1 − cosine between N×D identity vectors of the edited images and of the originals: 0 … 2."""
    return (1 - F.cosine_similarity(edited_vectors, original_vectors, dim=1)).mean()
