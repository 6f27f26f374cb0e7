"""The evaluation judges side by side, and what they see in a set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.attribute_names import parts_of
from evaluation.metrics.metric import Judge
from evaluation.pixels import CPU, Images, batches, to_tensor
from training.judges.loading import JudgeSet

Floats = NDArray[np.float64]


class Named(Protocol):
    """A frozen judge: its name and the sha256 of its weights."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...


class SeesAttributes(Named, Protocol):
    """Gives the probability of an attribute: N×3×H×W → N."""

    def probability(self, images: Tensor, attribute: str) -> Tensor: ...


class SeesIdentity(Named, Protocol):
    """Gives unit identity vectors: N×3×H×W → N×D."""

    def vectors(self, images: Tensor) -> Tensor: ...


class SeesPose(Named, Protocol):
    """Gives yaw, pitch and roll in degrees: N×3×H×W → N×3."""

    def angles_deg(self, images: Tensor) -> Tensor: ...


class SeesFeatures(Named, Protocol):
    """Gives feature vectors for the Fréchet distance: N×3×H×W → N×F."""

    def features(self, images: Tensor) -> Tensor: ...


class SeesText(Named, Protocol):
    """Gives unit vectors of images and of sentences in one space: N×3×H×W → N×D, M sentences → M×D."""

    def image_vectors(self, images: Tensor) -> Tensor: ...
    def text_vectors(self, texts: Sequence[str]) -> Tensor: ...


class SeesRegions(Named, Protocol):
    """Gives the mask of regions: N×3×H×W → N×1×H×W in {0, 1}."""

    def mask(self, images: Tensor, regions: Sequence[str]) -> Tensor: ...


@dataclass(frozen=True)
class Panel:
    """The judges of a report; none of them stood in a loss or made a mask. A set may be without `clip`."""

    attribute: SeesAttributes
    identity: SeesIdentity
    pose: SeesPose
    features: SeesFeatures
    parser: SeesRegions
    device: torch.device = CPU
    category: str = "face"
    clip: SeesText | None = None

    @property
    def judges(self) -> tuple[Judge, ...]:
        """Names and digests, in the panel's order."""
        always = (self.attribute, self.identity, self.pose, self.features, self.parser)
        return tuple(judge_of(one) for one in (*always, *((self.clip,) if self.clip else ())))


@dataclass(frozen=True)
class Seen:
    """What the panel saw in N images of an attribute of P parts.

    Probabilities N×P, unit vectors N×D, angles N×3 (degrees), features N×F, CLIP's image vectors N×C (None without).
    """

    part_probabilities: Floats
    identities: Floats
    angles_deg: Floats
    features: Floats
    image_vectors: Floats | None = None

    @property
    def probabilities(self) -> Floats:
        """The probability of the whole attribute, N: the least of its parts'."""
        return np.asarray(self.part_probabilities.min(axis=1), dtype=np.float64)


def judge_of(named: Named) -> Judge:
    """Return the name and digest that a metric carries."""
    return Judge(named.name, named.digest)


def evaluation_panel(judges: JudgeSet) -> Panel:
    """Return the evaluation judges of a set; raises UserError when one is missing or its weights are not its own."""
    return Panel(
        judges.attribute_eval,
        judges.identity_eval,
        judges.pose,
        judges.features,
        judges.parser_eval,
        judges.device,
        judges.category,
        judges.clip_eval if "clip_eval" in judges.names else None,
    )


@torch.inference_mode()
def look(panel: Panel, images: Images, attribute: str, batch_size: int) -> Seen:
    """Return what the panel sees in N×H×W×3 uint8 images, batch by batch."""
    parts: list[tuple[Tensor, ...]] = []
    for part in batches(len(images), batch_size):
        batch = to_tensor(images[part], panel.device)
        parts.append(
            (
                torch.stack([panel.attribute.probability(batch, name) for name in parts_of(attribute)], dim=1),
                panel.identity.vectors(batch),
                panel.pose.angles_deg(batch),
                panel.features.features(batch),
                *((panel.clip.image_vectors(batch),) if panel.clip else ()),
            )
        )
    return Seen(*(_stack(column) for column in zip(*parts, strict=True)))


@torch.inference_mode()
def feature_vectors(judge: SeesFeatures, images: Images, batch_size: int, device: torch.device = CPU) -> Floats:
    """Return the judge's features of N×H×W×3 uint8 images, N×F (0×0 without images)."""
    if not len(images):
        return np.zeros((0, 0), dtype=np.float64)
    return _stack([judge.features(to_tensor(images[part], device)) for part in batches(len(images), batch_size)])


@torch.inference_mode()
def region_masks(panel: Panel, images: Images, regions: Sequence[str], batch_size: int) -> NDArray[np.bool_]:
    """Return where the panel's parser sees any of `regions` in N×H×W×3 uint8 images, N×H×W."""
    masks = [
        panel.parser.mask(to_tensor(images[part], panel.device), regions)[:, 0] > 0.5
        for part in batches(len(images), batch_size)
    ]
    return np.asarray(torch.cat(masks).cpu().numpy(), dtype=bool)


def _stack(parts: Sequence[Tensor]) -> Floats:
    return np.asarray(torch.cat(list(parts)).double().cpu().numpy(), dtype=np.float64)
