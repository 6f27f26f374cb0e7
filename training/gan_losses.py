"""The losses of the adversarial training: pure functions of tensors that return a scalar."""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss of G: E[-log sigmoid(D(G(z)))] (arXiv 1406.2661)."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of D: E[-log sigmoid(D(x))] + E[-log(1 - sigmoid(D(G(z))))]."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """E[|∇D(x)|²], to be weighted by γ/2 (arXiv 1801.04406, eq. 9); `real_images` must require gradients."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
