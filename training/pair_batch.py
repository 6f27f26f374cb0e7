"""A batch of candidate pairs: drawn from their indices, fused, measured, filtered by the training judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from data.render import region_of
from training.fusion import FusedBatch, FusionConfig, fuse_with_traces, fusion_stops, trace
from training.joint_mask import MaskSource, ParserMask
from training.judges import JudgeSet
from training.pair_store import PairMeasures, StoredPair, encode_pair
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

HAD_ATTRIBUTE = "original_has_attribute"
LACKS_ATTRIBUTE = "target_lacks_attribute"
OUTSIDE_CHANGED = "changed_outside"
NO_REGION = "region_too_small"
JUDGE_NAMES = ("parser_train", "attribute_train", "identity_train")


class PairsConfig(BaseModel):
    """How many pairs, how they are fused, which are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str = Field(min_length=1, description="the target attribute, by the judges' name")
    regions: tuple[str, ...] = Field(
        default=(), description="parser regions of the joint mask; empty = the attribute's"
    )
    count: int = Field(default=3000, ge=1, le=10_000_000, description="pairs to keep")
    seed: int = Field(default=0, ge=0, description="seed of latents and layer noise")
    fusion: FusionConfig = Field(default_factory=FusionConfig, description="fusion layer, coefficient, joint mask")
    dilate_px: int = Field(default=1, ge=0, le=64, description="pixels by which each parsed region is widened")
    truncation_psi: float = Field(default=1.0, ge=0, le=1, description="pull of w towards its mean; 1 = none")
    min_probability: float = Field(default=0.8, ge=0, le=1, description="attribute probability a target must reach")
    max_probability: float = Field(default=0.2, ge=0, le=1, description="attribute probability an original may have")
    max_change_outside: float = Field(default=0.1, ge=0, le=1, description="mean change outside the mask, of the range")
    min_mask_area: float = Field(default=0.005, ge=0, le=1, description="share of the image the joint mask must cover")
    batch_size: int = Field(default=16, ge=1, le=4096, description="candidates computed at once")
    chunk_size: int = Field(default=256, ge=1, le=100_000, description="candidates between two savings of progress")
    max_candidates_per_pair: int = Field(default=20, ge=1, le=10_000, description="tries per pair before giving up")


@dataclass(frozen=True)
class PairJudges:
    """What pairs need of the training judges: region masks, attribute probability N, identity unit vectors N×D.

    `digest` names the judges: other judges are other pairs.
    """

    mask: MaskSource
    probability: Callable[[Tensor], Tensor]
    identity: Callable[[Tensor], Tensor]
    digest: str


def training_judges(judges: JudgeSet, config: PairsConfig) -> PairJudges:
    """The judges of a pairs run; only `*_train` ones, since what makes a mask or filters may not judge."""
    regions = config.regions or region_of(config.attribute)
    return PairJudges(
        mask=ParserMask(judges.parser_train, regions, config.dilate_px),
        probability=lambda images: judges.attribute_train.probability(images, config.attribute),
        identity=judges.identity_train.vectors,
        digest=" ".join(judges.digests[name] for name in JUDGE_NAMES),
    )


@torch.no_grad()
def make_batch(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    config: PairsConfig,
    indices: Tensor,
    counts: Counter[str],
) -> list[StoredPair]:
    """Pairs of the candidates `indices` (N) that pass the filters; `counts` gains what was dropped, by reason.

    Each pair is a function of (seed, index), up to the rounding of a batched product.
    """
    device = next(original.parameters()).device
    stops_original, stops_feature = fusion_stops(config.fusion)
    ws, noise = _draw(original, config, indices, device)
    original_trace = trace(original.synthesis, ws, noise, stops_original)
    before = judges.probability(original_trace.image.clamp(-1, 1))
    lacking = before <= config.max_probability
    counts[HAD_ATTRIBUTE] += int((~lacking).sum())
    if not lacking.any():
        return []
    ws, noise = ws[lacking], {name: maps[lacking] for name, maps in noise.items()}
    feature_trace = trace(feature.synthesis, ws, noise, stops_feature)
    fused = fuse_with_traces(
        original.synthesis, original_trace.rows(lacking), feature_trace, ws, noise, judges.mask, config.fusion
    )
    return _keep(fused, judges, config, indices[lacking.cpu()], before[lacking], counts)


def _draw(
    original: Generator, config: PairsConfig, indices: Tensor, device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    z = latents(config.seed, indices, original.config.z_dim).to(device)
    noise = layer_noise(config.seed, indices, original.synthesis.layer_sizes)
    return original.mapping(z, config.truncation_psi), {name: maps.to(device) for name, maps in noise.items()}


def _keep(
    fused: FusedBatch,
    judges: PairJudges,
    config: PairsConfig,
    indices: Tensor,
    before: Tensor,
    counts: Counter[str],
) -> list[StoredPair]:
    measures = _measure(fused, judges, indices, before)
    originals, targets = to_uint8(fused.original), to_uint8(fused.target)
    masks = (fused.mask[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
    pairs = []
    for row, pair in enumerate(measures):
        reason = _reason_to_drop(pair, config)
        if reason:
            counts[reason] += 1
        else:
            pairs.append(encode_pair(originals[row], targets[row], masks[row], pair))
    return pairs


def _reason_to_drop(pair: PairMeasures, config: PairsConfig) -> str | None:
    if pair.mask_area < config.min_mask_area:
        return NO_REGION
    if pair.probability_after < config.min_probability:
        return LACKS_ATTRIBUTE
    return OUTSIDE_CHANGED if pair.change_outside > config.max_change_outside else None


def _measure(fused: FusedBatch, judges: PairJudges, indices: Tensor, before: Tensor) -> list[PairMeasures]:
    original, target = fused.original.clamp(-1, 1), fused.target.clamp(-1, 1)
    change = (target - original).abs().mean(dim=1, keepdim=True) / 2  # N×3×H×W → N×1×H×W, share of the range
    inside, outside = _mean_over(change, fused.mask), _mean_over(change, 1 - fused.mask)
    cosine = (judges.identity(original) * judges.identity(target)).sum(dim=1)
    columns = (indices, fused.mask.mean(dim=(1, 2, 3)), inside, outside, before, judges.probability(target), cosine)
    index, *values = (column.tolist() for column in columns)
    return [PairMeasures(number, *row) for number, *row in zip(index, *values, strict=True)]


def _mean_over(change: Tensor, weight: Tensor) -> Tensor:
    return (change * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp_min(1e-6)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Images N×3×H×W in [-1, 1] as uint8 N×H×W×3 on the host."""
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())  # N×3×H×W → N×H×W×3
