"""A batch of candidate pairs: drawn from their indices, fused, measured, filtered by the training judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from data.categories import regions_of
from training.complexity import FusionDecision
from training.fusion import FusedBatch, feature_trace, feature_ws, fuse_traces, original_trace
from training.fusion_schedule import FusionConfig
from training.joint_mask import MaskSource, ParserMask, remembered
from training.judges import JudgeSet
from training.mask_config import MaskConfig
from training.mask_sources import mask_digest, mask_source
from training.pair_store import PairMeasures, StoredPair, encode_pair
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

HAD_ATTRIBUTE = "original_has_attribute"
NO_REGION = "region_too_small"
LACKS_ATTRIBUTE = "target_lacks_attribute"
OUTSIDE_CHANGED = "changed_outside"
IDENTITY_CHANGED = "identity_changed"
JUDGE_NAMES = ("parser_train", "attribute_train", "identity_train")
PSNR_CAP_DB = 60.0


class PairsConfig(BaseModel):
    """How many pairs, how they are fused, which are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str = Field(min_length=1, description="the target attribute, by the judges' name; several joined by +")
    regions: tuple[str, ...] = Field(
        default=(), description="parser regions of the joint mask; empty = the attribute's, of all its parts"
    )
    count: int = Field(default=3000, ge=1, le=10_000_000, description="pairs to keep")
    seed: int = Field(default=0, ge=0, description="seed of latents and layer noise")
    fusion: FusionConfig = Field(default_factory=FusionConfig, description="the schedule: layers, coefficients, masks")
    decision: FusionDecision | None = Field(default=None, description="how the schedule was chosen; recorded only")
    mask: MaskConfig = Field(default_factory=MaskConfig, description="what parses images into the attribute's region")
    truncation_psi: float = Field(default=1.0, ge=0, le=1, description="pull of w towards its mean; 1 = none")
    min_probability: float = Field(default=0.8, ge=0, le=1, description="attribute probability a target must reach")
    max_probability: float = Field(default=0.2, ge=0, le=1, description="attribute probability an original may have")
    max_change_outside: float = Field(default=0.1, ge=0, le=1, description="mean change outside the mask, of the range")
    min_psnr_outside: float = Field(default=0.0, ge=0, le=PSNR_CAP_DB, description="PSNR outside both regions, dB")
    min_identity: float = Field(default=-1.0, ge=-1, le=1, description="identity cosine of original and target")
    min_mask_area: float = Field(default=0.005, ge=0, le=1, description="share of the image the joint mask must cover")
    batch_size: int = Field(default=16, ge=1, le=4096, description="candidates computed at once")
    chunk_size: int = Field(default=256, ge=1, le=100_000, description="candidates between two savings of progress")
    max_candidates_per_pair: int = Field(default=20, ge=1, le=10_000, description="tries per pair before giving up")


@dataclass(frozen=True)
class PairJudges:
    """What pairs need of the training judges: masks, attribute probability N, identity unit vectors N×D.

    `mask` makes the joint mask; `region`, always the training parser's, says what lies outside. `digest` names the
    judges and whatever makes the masks: others are other pairs.
    """

    mask: MaskSource
    region: MaskSource
    probability: Callable[[Tensor], Tensor]
    identity: Callable[[Tensor], Tensor]
    digest: str


def training_judges(
    judges: JudgeSet, config: PairsConfig, size_px: int, device: torch.device | str = "cpu", root: Path = Path()
) -> PairJudges:
    """The judges of a pairs run; only `*_train` ones, since what makes a mask or filters may not judge.

    `root` is where a mask source's own file is looked for. Raises UserError where the mask source gives no masks.
    """
    regions = config.regions or regions_of(config.attribute, judges.category)
    mask = mask_source(config.mask, regions, judges, size_px, device, root)
    widened_px = max(1, size_px // 64)
    same = config.mask.source == "judge" and config.mask.dilate_px == widened_px
    return PairJudges(
        mask=mask,
        region=mask if same else ParserMask(judges.parser_train, regions, widened_px),
        probability=lambda images: judges.attribute_train.probability(images, config.attribute),
        identity=judges.identity_train.vectors,
        digest=" ".join([mask_digest(config.mask, judges, root), *(judges.digests[name] for name in JUDGE_NAMES)]),
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

    Each pair is a function of (seed, index), up to the rounding of a batched product. An original that has the
    attribute already costs its own image and no more.
    """
    device = next(original.parameters()).device
    z = latents(config.seed, indices, original.config.z_dim).to(device)
    noise = {name: maps.to(device) for name, maps in _noise(original, config, indices).items()}
    ws = original.mapping(z, config.truncation_psi)
    ours = original_trace(original, ws, noise, config.fusion)
    before = judges.probability(ours.image_of(None).clamp(-1, 1))
    lacking = before <= config.max_probability
    counts[HAD_ATTRIBUTE] += int((~lacking).sum())
    if not lacking.any():
        return []
    z, ws, noise = z[lacking], ws[lacking], {name: maps[lacking] for name, maps in noise.items()}
    their_ws = feature_ws(feature, z, ws, config.fusion, config.truncation_psi)
    theirs = feature_trace(feature, their_ws, noise, config.fusion)
    masks = remembered(judges.mask)
    fused = fuse_traces(original.synthesis, ours.rows(lacking), theirs, ws, noise, masks, config.fusion)
    regions = masks if judges.region is judges.mask else judges.region
    measures = _measure(fused, judges, regions, config.seed, indices[lacking.cpu()], before[lacking])
    return _keep(fused, measures, config, counts)


def _noise(original: Generator, config: PairsConfig, indices: Tensor) -> dict[str, Tensor]:
    return layer_noise(config.seed, indices, original.synthesis.layer_sizes)


def _keep(
    fused: FusedBatch, measures: list[PairMeasures], config: PairsConfig, counts: Counter[str]
) -> list[StoredPair]:
    originals, targets = to_uint8(fused.original), to_uint8(fused.target)
    masks = (fused.mask[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
    pairs = []
    for row, pair in enumerate(measures):
        reason = reason_to_drop(pair, config)
        if reason:
            counts[reason] += 1
        else:
            pairs.append(encode_pair(originals[row], targets[row], masks[row], pair))
    return pairs


def reason_to_drop(pair: PairMeasures, config: PairsConfig) -> str | None:
    """The first filter that a candidate does not pass; None where it is kept."""
    if pair.mask_area < config.min_mask_area:
        return NO_REGION
    if pair.probability_after < config.min_probability:
        return LACKS_ATTRIBUTE
    if pair.change_outside > config.max_change_outside or pair.psnr_outside < config.min_psnr_outside:
        return OUTSIDE_CHANGED
    return IDENTITY_CHANGED if pair.identity_cosine < config.min_identity else None


def _measure(
    fused: FusedBatch, judges: PairJudges, regions: MaskSource, seed: int, indices: Tensor, before: Tensor
) -> list[PairMeasures]:
    original, target = fused.original.clamp(-1, 1), fused.target.clamp(-1, 1)
    change = (target - original).abs().mean(dim=1, keepdim=True) / 2  # N×3×H×W → N×1×H×W, share of the range
    # The original's image as the joint mask saw it, so that it need not be parsed again.
    outside_both = 1 - torch.maximum(regions(fused.original), regions(fused.target))
    columns = (
        fused.mask.mean(dim=(1, 2, 3)),
        _mean_over(change, fused.mask),
        _mean_over(change, 1 - fused.mask),
        psnr_over(original, target, outside_both),
        before,
        judges.probability(target),
        (judges.identity(original) * judges.identity(target)).sum(dim=1),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [PairMeasures(seed, index, *row) for index, row in zip(indices.tolist(), rows, strict=True)]


def psnr_over(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """PSNR in dB of images N×3×H×W in [-1, 1] where `weight` (N×1×H×W) is: N, at most 60; 60 where it is nowhere."""
    squared = ((first - second) / 2).square().mean(dim=1, keepdim=True)  # N×3×H×W → N×1×H×W, range 1
    return -10 * torch.log10(_mean_over(squared, weight).clamp_min(10 ** (-PSNR_CAP_DB / 10)))


def _mean_over(change: Tensor, weight: Tensor) -> Tensor:
    return (change * weight).sum(dim=(1, 2, 3)) / weight.sum(dim=(1, 2, 3)).clamp_min(1e-6)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Images N×3×H×W in [-1, 1] as uint8 N×H×W×3 on the host."""
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())  # N×3×H×W → N×H×W×3
