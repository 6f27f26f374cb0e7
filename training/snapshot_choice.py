"""When to stop fine-tuning: the snapshot of a feature network that shows the attribute and still knows the faces.

Too short a training shows no attribute; too long a one forgets the original network's faces, and pairs stop
corresponding. Each snapshot is scored on held-out codes by training judges (METHODS A9).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.draws import Purpose
from training.judges import JudgeSet
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

CURVE_FILE = "snapshots.json"
DIGITS = 6  # of the curve in the file: far finer than the noise of a few hundred codes


class SnapshotChoiceConfig(BaseModel):
    """How snapshots are scored: p · max(cos, 0)^identity_exponent · exp(−degrees / pose_scale_deg).

    Each factor lies in [0, 1] and is the agreement that one judge sees; a product, because a snapshot that fails in
    one of them is of no use, whatever the others say. By default identity counts half: outside the joint mask a pair's
    target is the original's own, and inside it the attribute itself costs some of the judge's cosine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codes: int = Field(default=256, ge=1, le=100_000, description="held-out codes that every snapshot draws")
    identity_exponent: float = Field(default=0.5, ge=0, le=16, description="how much identity counts; 0 = not at all")
    pose_scale_deg: float = Field(default=20.0, gt=0, le=1000, description="degrees that cost a factor of e")
    batch_size: int = Field(default=32, ge=1, le=4096, description="codes drawn at once")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the held-out codes and their noise")


@dataclass(frozen=True)
class ChoiceJudges:
    """What the choice needs of the training judges, of images N×3×H×W in [-1, 1].

    Attribute probability N, identity unit vectors N×D, yaw, pitch and roll in degrees N×3.
    """

    probability: Callable[[Tensor], Tensor]
    identity: Callable[[Tensor], Tensor]
    angles_deg: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SnapshotScore:
    """A point of the curve: means over the held-out codes, and the score made of them."""

    kimg: float
    probability: float
    identity_cosine: float
    pose_change_deg: float
    score: float


@dataclass(frozen=True)
class _Codes:
    """A batch of held-out codes with what the judges see in the original images: drawn once, for all snapshots."""

    ws: Tensor
    noise: dict[str, Tensor]
    identity: Tensor
    angles_deg: Tensor


def choice_judges(judges: JudgeSet, attribute: str) -> ChoiceJudges:
    """The judges of the choice: only `*_train` ones, since what chooses a network may not judge what comes of it."""
    return ChoiceJudges(
        probability=lambda images: judges.attribute_train.probability(images, attribute),
        identity=judges.identity_train.vectors,
        angles_deg=judges.pose_train.angles_deg,
    )


def score(probability: float, identity_cosine: float, pose_change_deg: float, config: SnapshotChoiceConfig) -> float:
    """The score of a snapshot in [0, 1] from its three means."""
    identity: float = max(identity_cosine, 0.0) ** config.identity_exponent
    return probability * identity * math.exp(-pose_change_deg / config.pose_scale_deg)


def score_snapshots(
    original: Generator,
    snapshots: Iterable[tuple[float, Generator]],
    judges: ChoiceJudges,
    config: SnapshotChoiceConfig,
) -> Iterator[SnapshotScore]:
    """Score each (kimg, generator) as it comes; the original network's images are made once.

    All generators share the original's mapping (METHODS A3), so its w go through all of them, with the same noise.
    """
    held_out = _held_out_codes(original, judges, config)
    for kimg, generator in snapshots:
        yield _score_one(kimg, generator, held_out, judges, config)


def choose(curve: Sequence[SnapshotScore]) -> SnapshotScore:
    """The snapshot of the highest score, of equals the earliest; ValueError without any."""
    if not curve:
        raise ValueError("no snapshot to choose from")
    return max(curve, key=lambda point: (point.score, -point.kimg))


def write_curve(directory: Path, curve: Sequence[SnapshotScore], config: SnapshotChoiceConfig) -> None:
    """Write `snapshots.json`: how it was scored, every point, and which one was chosen."""
    best = choose(curve)
    points = [{**_rounded(point), "chosen": point is best} for point in curve]
    document = {"format": 1, "config": config.model_dump(mode="json"), "snapshots": points}
    (directory / CURVE_FILE).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.inference_mode()
def _held_out_codes(original: Generator, judges: ChoiceJudges, config: SnapshotChoiceConfig) -> list[_Codes]:
    device = next(original.parameters()).device
    batches = []
    for first in range(0, config.codes, config.batch_size):
        indices = torch.arange(first, min(first + config.batch_size, config.codes))
        z = latents(config.seed, indices, original.config.z_dim, Purpose.CHOICE_LATENTS).to(device)
        maps = layer_noise(config.seed, indices, original.synthesis.layer_sizes, Purpose.CHOICE_NOISE)
        noise = {name: noise.to(device) for name, noise in maps.items()}
        ws = original.mapping(z)
        images = original.synthesis(ws, noise).clamp(-1, 1)
        batches.append(_Codes(ws, noise, judges.identity(images), judges.angles_deg(images)))
    return batches


@torch.inference_mode()
def _score_one(
    kimg: float, generator: Generator, held_out: list[_Codes], judges: ChoiceJudges, config: SnapshotChoiceConfig
) -> SnapshotScore:
    measured = torch.cat([_measures(generator, codes, judges) for codes in held_out])  # codes×3
    probability, cosine, change_deg = measured.double().mean(dim=0).tolist()
    return SnapshotScore(kimg, probability, cosine, change_deg, score(probability, cosine, change_deg, config))


def _measures(generator: Generator, codes: _Codes, judges: ChoiceJudges) -> Tensor:
    """Attribute probability, cosine and change of pose (the angles' L2, degrees) of each code: N×3."""
    images = generator.synthesis(codes.ws, codes.noise).clamp(-1, 1)
    cosine = (judges.identity(images) * codes.identity).sum(dim=1)
    change_deg = (judges.angles_deg(images) - codes.angles_deg).norm(dim=1)
    return torch.stack([judges.probability(images), cosine, change_deg], dim=1)


def _rounded(point: SnapshotScore) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in asdict(point).items()}
