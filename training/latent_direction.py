"""The usual way to edit a generated face: a direction in w from faces without an attribute to faces with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

FEWEST = 8
"""Fewer faces than this on one side make a mean that says nothing."""


@dataclass(frozen=True)
class LatentDirection:
    """A step in w (w_dim): mean with the attribute minus mean without it, and how many faces each mean is of."""

    step: Tensor
    with_attribute: int
    without_attribute: int


@torch.no_grad()
def latent_direction(
    original: Generator,
    probability: Callable[[Tensor], Tensor],
    seed: int,
    indices: Tensor,
    threshold: float = 0.5,
    truncation_psi: float = 1.0,
    batch_size: int = 64,
) -> LatentDirection | None:
    """Label the faces of `indices` (N) by `probability` (N×3×H×W → N) and return the difference of the means of w.

    None where fewer than 8 faces have the attribute or fewer than 8 lack it. Source: arXiv 1907.10786, with means in
    the place of a separating plane.
    """
    ws, labels = [], []
    for part in torch.split(indices, batch_size):
        w, images = _faces(original, seed, part, truncation_psi)
        ws.append(w)
        labels.append(probability(images.clamp(-1, 1)) >= threshold)
    w, has = torch.cat(ws), torch.cat(labels).to(ws[0].device)
    if min(int(has.sum()), int((~has).sum())) < FEWEST:
        return None
    return LatentDirection(w[has].mean(dim=0) - w[~has].mean(dim=0), int(has.sum()), int((~has).sum()))


def _faces(original: Generator, seed: int, indices: Tensor, truncation_psi: float) -> tuple[Tensor, Tensor]:
    device = next(original.parameters()).device
    noise = layer_noise(seed, indices, original.synthesis.layer_sizes)
    w = original.mapping(latents(seed, indices, original.config.z_dim).to(device), truncation_psi)
    return w, original.synthesis(w, {name: maps.to(device) for name, maps in noise.items()})
