"""What a judge gives: masks, unit vectors, angles, probabilities, features. Frozen, but gradients reach the images.

Every method takes float32 N×3×H×W in [-1, 1], RGB, of any size: the nets see 64 px, resized with antialiasing.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.attribute_names import parts_of
from data.errors import UserError
from training.judges.clip_network import ClipNet, tokenize
from training.judges.config import Kind, Role
from training.judges.networks import JUDGE_SIZE_PX, ParserNet, VectorNet

POSE_UNIT_DEG = 15.0  # the pose net's outputs are in this unit, so that they are of order 1


@dataclass(frozen=True)
class Judge:
    """A frozen network with its name and the sha256 of its weights file."""

    name: str
    kind: Kind
    role: Role
    digest: str
    net: nn.Module

    def _run(self, images: Tensor) -> Tensor:
        out: Tensor = self.net(to_judge_size(images))
        return out


@dataclass(frozen=True)
class ParserJudge(Judge):
    """Region masks; `regions` names its classes in order."""

    net: ParserNet
    regions: tuple[str, ...]

    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities, N×K×H×W at the images' size, summing to 1 over K."""
        return _resize(F.softmax(self._run(images), dim=1), (images.shape[2], images.shape[3]))

    def labels(self, images: Tensor) -> Tensor:
        """The most probable class of each pixel, int64 N×H×W."""
        return self.probabilities(images).argmax(dim=1)

    def mask(self, images: Tensor, regions: Sequence[str], soft: bool = False) -> Tensor:
        """The union of some regions, float N×1×H×W: 0 or 1, or with `soft` its probability; UserError when unknown."""
        wanted = [index_of(region, self.regions, "region") for region in regions]
        if soft:
            return self.probabilities(images)[:, wanted].sum(dim=1, keepdim=True)
        labels = self.labels(images)[:, None]
        return torch.isin(labels, torch.tensor(wanted, device=labels.device)).to(images.dtype)


@dataclass(frozen=True)
class IdentityJudge(Judge):
    """Who it is, as a direction: images of one subject point the same way."""

    net: VectorNet

    def vectors(self, images: Tensor) -> Tensor:
        """Unit vectors, N×D; the dot product of two is their cosine."""
        return F.normalize(self._run(images), dim=1)


@dataclass(frozen=True)
class PoseJudge(Judge):
    """Where the head turns, in the crop: roll is what alignment left of it."""

    net: VectorNet

    def angles_deg(self, images: Tensor) -> Tensor:
        """Yaw, pitch and roll in degrees, N×3."""
        return self._run(images) * POSE_UNIT_DEG


@dataclass(frozen=True)
class AttributeJudge(Judge):
    """How probable each attribute is; `attributes` names the columns."""

    net: VectorNet
    attributes: tuple[str, ...]

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities, N×A."""
        return torch.sigmoid(self._run(images))

    def probability(self, images: Tensor, attribute: str) -> Tensor:
        """The probability of an attribute, N: of `a+b` the least of its parts'. UserError for an unknown one."""
        columns = [index_of(part, self.attributes, "attribute") for part in parts_of(attribute)]
        return self.probabilities(images)[:, columns].amin(dim=1)


@dataclass(frozen=True)
class FeaturesJudge(Judge):
    """A vector of what matters in a face, for Fréchet distances; never to be called FID."""

    net: VectorNet

    def features(self, images: Tensor) -> Tensor:
        """The penultimate vector, N×F, of zero mean and unit variance on its own training images."""
        return self.net.embedding(to_judge_size(images))


@dataclass(frozen=True)
class ClipJudge(Judge):
    """Pictures and sentences in one space: the dot product of two is how well they agree."""

    net: ClipNet

    def image_vectors(self, images: Tensor) -> Tensor:
        """Unit vectors, N×D; the network normalises with the statistics of its own training images."""
        return self.net.encode_image(to_judge_size(images))

    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors of M sentences, M×D. A word that no caption used counts as nothing, see `unknown_words`."""
        tokens = tokenize(texts, self.net.architecture)
        return self.net.encode_text(tokens.to(next(self.net.parameters()).device))

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a sentence of which some part was in no caption."""
        known = set(self.net.tokens)
        return tuple(word for word in text.split() if not set(tokenize([word])[0].tolist()) <= known)


def to_judge_size(images: Tensor) -> Tensor:
    """N×3×H×W → N×3×64×64, channels last."""
    resized = _resize(images, (JUDGE_SIZE_PX, JUDGE_SIZE_PX))
    return resized.contiguous(memory_format=torch.channels_last)


def index_of(name: str, names: Sequence[str], what: str) -> int:
    """The position of a name; UserError that suggests the nearest one when it is unknown."""
    if name in names:
        return list(names).index(name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names)}."
    raise UserError(f"The judges know no {what} {name!r}.", hint)


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
