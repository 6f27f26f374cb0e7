"""The joint mask: where an original image and its feature image carry the attribute's region.

Source: US 2024/0193822 A1 (METHODS A4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from training.fusion_schedule import JointMode as JointMode


class MaskSource(Protocol):
    """Gives the region that an attribute lives in: a parser, or a user's function."""

    def __call__(self, images: Tensor) -> Tensor:
        """Masks N×1×h×w in [0, 1] of images N×3×h×w in [-1, 1]."""
        ...


class RegionParser(Protocol):
    """The part of a parser judge that makes masks."""

    def mask(self, images: Tensor, regions: Sequence[str]) -> Tensor:
        """Masks N×1×h×w of the named regions."""
        ...


class ParserMask:
    """Mask source that asks a parser for the regions and widens them by `dilate_px`."""

    def __init__(self, parser: RegionParser, regions: Sequence[str], dilate_px: int = 0) -> None:
        if not regions:
            raise ValueError("a parser mask needs at least one region")
        self.parser = parser
        self.regions = tuple(regions)
        self.dilate_px = dilate_px

    def __call__(self, images: Tensor) -> Tensor:
        """Masks N×1×h×w in [0, 1] of images N×3×h×w in [-1, 1]."""
        return dilate(self.parser.mask(images, self.regions), self.dilate_px)


class RememberedMask:
    """A mask source that parses an image batch once, however often the same tensor is asked for.

    It keeps what it was asked for: make one for each batch.
    """

    def __init__(self, source: MaskSource) -> None:
        self.source = source
        self._seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, images: Tensor) -> Tensor:
        """Masks N×1×h×w in [0, 1] of images N×3×h×w in [-1, 1]."""
        for known, mask in self._seen:
            if known is images:
                return mask
        self._seen.append((images, self.source(images)))
        return self._seen[-1][1]


def remembered(source: MaskSource) -> RememberedMask:
    """A mask source that answers the same tensor without work; itself where it is one already."""
    return source if isinstance(source, RememberedMask) else RememberedMask(source)


def dilate(mask: Tensor, radius_px: int) -> Tensor:
    """Grow a mask N×1×h×w by `radius_px` in all eight directions."""
    if radius_px == 0:
        return mask
    return F.max_pool2d(mask, 2 * radius_px + 1, stride=1, padding=radius_px)


def resize_mask(mask: Tensor, size_px: int) -> Tensor:
    """Bring a mask N×1×h×w to N×1×size×size, bilinear with antialiasing: thin beards vanish without."""
    if mask.shape[-2:] == (size_px, size_px):
        return mask
    resized = F.interpolate(mask, (size_px, size_px), mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(0, 1)


def joint_mask(mask_original: Tensor, mask_feature: Tensor, mode: JointMode = "union") -> Tensor:
    """Union or intersection of two masks N×1×h×w, brought to the larger size where the sizes differ."""
    size = max(mask_original.shape[-1], mask_feature.shape[-1])
    first, second = resize_mask(mask_original, size), resize_mask(mask_feature, size)
    if mode == "union":
        return torch.maximum(first, second)
    if mode == "intersection":
        return torch.minimum(first, second)
    raise ValueError(f"joint mask mode {mode!r} is unknown, expected 'union' or 'intersection'")
