"""What each kind of judge learns: its network and its loss on a batch."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.random import Generator, Philox, SeedSequence
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn

from data.captions import draw_caption
from data.categories import Category
from training.judges.clip_network import SMALL, ClipNet, tokenize
from training.judges.config import Kind
from training.judges.interface import POSE_UNIT_DEG
from training.judges.loading import NetworkRecord, build_network
from training.judges.networks import ParserNet, VectorNet

MARGIN_DEG = 17.0
ARCFACE_SCALE = 16.0
ARCFACE_WEIGHT = 0.05  # ArcFace's loss is some ten times that of the traits
ARCFACE_RAMP = (0.2, 0.5)  # shares of training over which ArcFace grows, and then its margin
MARGIN_RAMP = (0.3, 0.6)
CENTRE_STD = 0.05


@dataclass(frozen=True)
class Batch:
    """A training batch: jittered images, with the labels of the same jitter."""

    images: Tensor  # float32 N×3×64×64
    regions: Tensor  # int64 N×64×64
    pose_deg: Tensor  # float32 N×3
    attributes: Tensor  # float32 N×A, 0 or 1
    subjects: Tensor  # int64 N
    done: float  # share of training done, 0 … 1
    caption_seed: tuple[int, ...] = ()  # of the captions that are drawn for the images


class Objective(nn.Module):
    """A judge's network with what only its training needs."""

    net: nn.Module

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The loss, a scalar."""


class ParserObjective(Objective):
    """Cross entropy per pixel."""

    def __init__(self, net: ParserNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> Tensor:
        """The mean over all pixels."""
        return F.cross_entropy(self.net(batch.images), batch.regions)


class AttributeObjective(Objective):
    """Binary cross entropy of every attribute."""

    def __init__(self, net: VectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> Tensor:
        """The mean over images and attributes."""
        return F.binary_cross_entropy_with_logits(self.net(batch.images), batch.attributes)


class PoseObjective(Objective):
    """Smooth L1 of the three angles, in units of 15°."""

    def __init__(self, net: VectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> Tensor:
        """The mean over images and angles."""
        return pose_loss(self.net(batch.images), batch.pose_deg)


class Teacher(nn.Module):
    """Who it is: the renderer's parameters of the subject, and ArcFace over the pool (Deng et al., arXiv 1801.07698).

    Thousands of labels alone teach a small net slowly: it takes skin and head shape for the whole of a person. So the
    vector first predicts the parameters; ArcFace, then its margin, grow while that goes on.
    """

    def __init__(self, size: int, traits: Tensor) -> None:
        super().__init__()
        self.register_buffer("traits", traits)  # S×T
        self.to_traits = nn.Linear(size, traits.shape[1])
        self.arcface = ArcFaceLoss(len(traits), size, margin=MARGIN_DEG, scale=ARCFACE_SCALE)
        # Only the centres' directions count: short ones turn faster under Adam's steps of constant length.
        with torch.no_grad():
            self.arcface.W.mul_(CENTRE_STD)

    def forward(self, vectors: Tensor, batch: Batch) -> Tensor:
        """The mean squared error of the traits plus the weighted ArcFace loss."""
        traits = F.mse_loss(self.to_traits(vectors), self.get_buffer("traits")[batch.subjects])
        self.arcface.margin = math.radians(MARGIN_DEG) * ramp(batch.done, MARGIN_RAMP)
        arcface: Tensor = self.arcface(vectors, batch.subjects)
        return traits + ARCFACE_WEIGHT * ramp(batch.done, ARCFACE_RAMP) * arcface


class IdentityObjective(Objective):
    """The teacher's loss of the unit vectors."""

    def __init__(self, net: VectorNet, traits: Tensor) -> None:
        super().__init__()
        self.net = net
        self.teacher = Teacher(net.embed.out_features, traits)

    def forward(self, batch: Batch) -> Tensor:
        """The mean over images."""
        loss: Tensor = self.teacher(self.net(batch.images), batch)
        return loss


class FeaturesObjective(Objective):
    """Attributes, pose and identity from one vector, so that it holds all that matters in a picture."""

    def __init__(self, net: VectorNet, traits: Tensor) -> None:
        super().__init__()
        self.net = net
        self.teacher = Teacher(net.embed.out_features, traits)

    def forward(self, batch: Batch) -> Tensor:
        """The sum of the three losses, which are of one order."""
        net = self.net
        assert isinstance(net, VectorNet)
        vectors = net.embedding(batch.images)
        out = net.head(F.relu(vectors))  # N×(A + 3): attributes, then pose
        attribute = F.binary_cross_entropy_with_logits(out[:, :-3], batch.attributes)
        who: Tensor = self.teacher(vectors, batch)
        return attribute + pose_loss(out[:, -3:], batch.pose_deg) + who


class ClipObjective(Objective):
    """OpenCLIP's own loss: which caption of the batch is the image's, and which image is the caption's."""

    def __init__(self, net: ClipNet, category: str, attributes: Sequence[str]) -> None:
        super().__init__()
        from open_clip.loss import ClipLoss  # seconds: only CLIP's training pays for it

        self.net = net
        self.loss = ClipLoss()
        self.category, self.attributes = category, tuple(attributes)

    def forward(self, batch: Batch) -> Tensor:
        """The mean over both directions; the towers run in bfloat16, the loss in float32."""
        net = self.net
        assert isinstance(net, ClipNet)
        with torch.autocast(batch.images.device.type, torch.bfloat16):
            images, texts = net.encode_image(batch.images), net.encode_text(tokenize(self.captions(batch)))
        loss: Tensor = self.loss(images, texts, net.scale)
        return loss

    def captions(self, batch: Batch) -> list[str]:
        """A sentence drawn for each image of the batch."""
        draws = Generator(Philox(SeedSequence(batch.caption_seed)))
        labels = (batch.attributes > 0.5).tolist()
        return [draw_caption(self.category, dict(zip(self.attributes, one, strict=True)), draws) for one in labels]


def objective_for(kind: Kind, network: NetworkRecord, traits: Tensor, of: Category[Any, Any]) -> Objective:
    """The objective of a kind of judge, with fresh weights from torch's current generator; `traits` is S×T."""
    net = build_network(kind, network)
    if isinstance(net, ParserNet):
        return ParserObjective(net)
    if isinstance(net, ClipNet):
        return ClipObjective(net, of.name, of.attributes)
    if kind == "identity":
        return IdentityObjective(net, traits)
    if kind == "features":
        return FeaturesObjective(net, traits)
    return AttributeObjective(net) if kind == "attribute" else PoseObjective(net)


def network_for(kind: Kind, attributes: int, regions: int) -> NetworkRecord:
    """The shape of a kind's network; a CLIP's statistics and words are filled in from its pool."""
    if kind == "clip":
        return NetworkRecord(widths=(), outputs=0, architecture=SMALL)
    if kind == "parser":
        return NetworkRecord(widths=(12, 24, 48, 64), outputs=regions)
    if kind == "identity":
        return NetworkRecord(widths=(24, 40, 80, 104), depth=2, embed=128, outputs=0)
    if kind == "pose":
        return NetworkRecord(widths=(16, 32, 64, 80), outputs=3, depth=1, embed=64)
    outputs = {"attribute": attributes, "features": attributes + 3}[kind]
    return NetworkRecord(widths=(16, 32, 64, 96), depth=1, embed=64, outputs=outputs)


def pose_loss(predicted: Tensor, pose_deg: Tensor) -> Tensor:
    """Smooth L1 between N×3 outputs in units of 15° and angles in degrees."""
    return F.smooth_l1_loss(predicted, pose_deg / POSE_UNIT_DEG, beta=0.1)


def ramp(done: float, between: tuple[float, float]) -> float:
    """0 before the first share of training, 1 after the second, straight between."""
    first, last = between
    return min(1.0, max(0.0, (done - first) / (last - first)))
