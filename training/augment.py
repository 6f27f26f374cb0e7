"""Differentiable augmentation of what the discriminator sees, for small sets.

Colour, translation and cutout of DiffAugment (arXiv 2006.10738); applied with probability p per image and operation, p
fixed at 1 or adapted to the discriminator's overfitting (arXiv 2006.06676).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import Purpose, draw

TRANSLATION = 0.125  # of the side
CUTOUT = 0.5  # of the side


@dataclass(frozen=True)
class AugmentationDraws:
    """The random numbers of one batch; rows are images."""

    colour: Tensor  # N×3: brightness in [-0.5, 0.5], saturation in [0, 2], contrast in [0.5, 1.5]
    shift_px: tuple[tuple[int, int], ...]  # rows, columns
    keep: Tensor  # N×1×H×W, 0 where cut out

    def __len__(self) -> int:
        return len(self.shift_px)

    def rows(self, part: slice) -> AugmentationDraws:
        """The draws of some of the images."""
        return AugmentationDraws(self.colour[part], self.shift_px[part], self.keep[part])


def draw_augmentation(seed: int, iteration: int, count: int, size_px: int, p: float) -> AugmentationDraws:
    """Draws for `count` images: a function of (seed, iteration, p); an operation not drawn is the identity."""
    source = draw(seed, Purpose.AUGMENTATION, iteration)
    applied = source.random((3, count)) < p
    identity = np.array([0.0, 1.0, 1.0])
    colour = np.where(applied[0][:, None], source.uniform([-0.5, 0.0, 0.5], [0.5, 2.0, 1.5], (count, 3)), identity)
    reach = int(size_px * TRANSLATION + 0.5)
    shifts = np.where(applied[1][:, None], source.integers(-reach, reach + 1, (count, 2)), 0)
    corners = source.integers(-int(size_px * CUTOUT) // 2, size_px - int(size_px * CUTOUT) // 2 + 1, (count, 2))
    keep = torch.from_numpy(_cutout_masks(corners, applied[2], size_px))
    pairs = tuple((int(rows), int(columns)) for rows, columns in shifts)
    return AugmentationDraws(torch.from_numpy(colour.astype(np.float32)), pairs, keep)


def augment(images: Tensor, draws: AugmentationDraws) -> Tensor:
    """Apply the draws to images (N×3×H×W, [-1, 1]); gradients pass through."""
    return _translate(_recolour(images, draws.colour.to(images.device)), draws) * draws.keep.to(images.device)


def adapted_p(p: float, real_logits: Tensor, target: float, step: float) -> float:
    """p moved by ±step towards E[sign D(x)] = target, within [0, 1] (arXiv 2006.06676, eq. 1)."""
    overfit = float(real_logits.detach().sign().mean())
    return float(np.clip(p + np.sign(overfit - target) * step, 0.0, 1.0))


def _cutout_masks(corners: np.ndarray, applied: np.ndarray, size_px: int) -> np.ndarray:
    side = int(size_px * CUTOUT)
    keep = np.ones((len(corners), 1, size_px, size_px), dtype=np.float32)
    for mask, (top, left), on in zip(keep, corners, applied, strict=True):
        if on:
            mask[0, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0.0
    return keep


def _recolour(x: Tensor, colour: Tensor) -> Tensor:
    brightness, saturation, contrast = (c[:, None, None, None] for c in colour.unbind(1))
    x = x + brightness
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * contrast


def _translate(x: Tensor, draws: AugmentationDraws) -> Tensor:
    size = x.shape[2]
    reach = int(size * TRANSLATION + 0.5)
    padded = F.pad(x, (reach, reach, reach, reach))
    moved = [
        padded[row, :, reach + dy : reach + dy + size, reach + dx : reach + dx + size]
        for row, (dy, dx) in enumerate(draws.shift_px)
    ]
    return torch.stack(moved)
