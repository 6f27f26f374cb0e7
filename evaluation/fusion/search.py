"""Which fusion schedule is best for a pair of networks: all candidates on the same held-out codes, from one trace each.

Only training judges look, as for the pairs: what chose a schedule may not judge what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.counting import CountFn, uncounted
from data.errors import UserError
from evaluation.fusion.candidates import ScheduleScore
from evaluation.fusion.seams import seam_levels
from evaluation.metrics.locality import Floats
from training.fusion import Noise, Trace, check_same_mapping, fuse_traces, trace
from training.fusion_schedule import FusionConfig, feature_stops, original_stops
from training.joint_mask import MaskSource, remembered
from training.pair_batch import PairJudges, psnr_over
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator


@dataclass(frozen=True)
class SearchConfig:
    """On how many codes of which seed; a code counts when its original's probability is at most `max_probability`.

    `min_probability` is what a target must reach to count as a success.
    """

    codes: int = 128
    seed: int = 0
    truncation_psi: float = 1.0
    min_probability: float = 0.8
    max_probability: float = 0.2
    batch_size: int = 32
    max_tries_per_code: int = 20


@dataclass(frozen=True)
class FusedMeasures:
    """Per image (N each): attribute probability, PSNR outside in dB, identity cosine, seam in 8-bit levels."""

    probability: Floats
    psnr_outside_db: Floats
    identity_cosine: Floats
    seam_levels: Floats


@dataclass(frozen=True)
class Traced:
    """Codes whose original lacks the attribute, with both networks' runs: all that schedules are made from."""

    ws: Tensor
    noise: Noise
    original: Trace
    feature: Trace


@dataclass(frozen=True)
class Looks:
    """What judges see in the traced runs, once for all schedules: masks and regions by image, identities N×D."""

    mask: MaskSource
    region: MaskSource
    identity: Tensor

    @classmethod
    def of(cls, judges: PairJudges, traced: Traced) -> Looks:
        """Looks at one batch."""
        mask = remembered(judges.mask)
        region = mask if judges.region is judges.mask else remembered(judges.region)
        return cls(mask, region, judges.identity(traced.original.image_of(None).clamp(-1, 1)))


@torch.no_grad()
def search(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    schedules: Sequence[FusionConfig],
    config: SearchConfig,
    counted: CountFn = uncounted,
) -> tuple[ScheduleScore, ...]:
    """Return the schedules' scores in their order, each measured on the same codes.

    Raises UserError where the networks' mappings differ or too few originals lack the attribute.
    """
    check_same_mapping(original, feature)
    per_schedule: list[list[FusedMeasures]] = [[] for _ in schedules]
    done = 0
    for traced in _traced(original, feature, judges, schedules, config):
        looks = Looks.of(judges, traced)
        for measures, schedule in zip(per_schedule, schedules, strict=True):
            measures.append(measure(original, traced, judges, looks, schedule))
        done += len(traced.ws)
        counted(done, config.codes)
    return tuple(_score(s, parts, config) for s, parts in zip(schedules, per_schedule, strict=True))


def measure(
    original: Generator,
    traced: Traced,
    judges: PairJudges,
    looks: Looks,
    schedule: FusionConfig,
) -> FusedMeasures:
    """Return the measures of one schedule on traced codes."""
    ours, theirs = traced.original, traced.feature
    fused = fuse_traces(original.synthesis, ours, theirs, traced.ws, traced.noise, looks.mask, schedule)
    image, target = fused.original.clamp(-1, 1), fused.target.clamp(-1, 1)
    outside = 1 - torch.maximum(looks.region(fused.original), judges.region(fused.target))
    measures = (
        judges.probability(target),
        psnr_over(image, target, outside),
        (judges.identity(target) * looks.identity).sum(dim=1),
        seam_levels(image, theirs.image_of(None).clamp(-1, 1), target, fused.mask),
    )
    return FusedMeasures(*(values.double().cpu().numpy() for values in measures))


def _traced(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    schedules: Sequence[FusionConfig],
    config: SearchConfig,
) -> Iterator[Traced]:
    """Batches of codes whose originals lack the attribute, `config.codes` in all."""
    left, first = config.codes, 0
    while left:
        if first >= config.max_tries_per_code * config.codes:
            raise UserError(
                f"Only {config.codes - left} of {first} originals lack the attribute, expected {config.codes}.",
                "Ask for fewer --codes, or raise edit_pairs.max_probability.",
            )
        indices = torch.arange(first, first + config.batch_size)
        first += config.batch_size
        traced = _trace_both(original, feature, judges, schedules, config, indices, left)
        if traced is not None:
            left -= len(traced.ws)
            yield traced


def _trace_both(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    schedules: Sequence[FusionConfig],
    config: SearchConfig,
    indices: Tensor,
    most: int,
) -> Traced | None:
    """Both networks' runs for those codes, `most` of them at most, whose original lacks the attribute."""
    device = next(original.parameters()).device
    ws = original.mapping(latents(config.seed, indices, original.config.z_dim).to(device), config.truncation_psi)
    noise = layer_noise(config.seed, indices, original.synthesis.layer_sizes)
    noise = {name: maps.to(device) for name, maps in noise.items()}
    ours = trace(original.synthesis, ws, noise, set().union(*map(original_stops, schedules)))
    lacking = judges.probability(ours.image_of(None).clamp(-1, 1)) <= config.max_probability
    chosen = lacking.nonzero()[:most, 0]
    if not len(chosen):
        return None
    ws, noise = ws[chosen], {name: maps[chosen] for name, maps in noise.items()}
    theirs = trace(feature.synthesis, ws, noise, set().union(*map(feature_stops, schedules)))
    return Traced(ws, noise, ours.rows(chosen), theirs)


def _score(schedule: FusionConfig, parts: Sequence[FusedMeasures], config: SearchConfig) -> ScheduleScore:
    probability = np.concatenate([part.probability for part in parts])
    return ScheduleScore(
        schedule,
        success=float((probability >= config.min_probability).mean()),
        probability=float(probability.mean()),
        psnr_outside_db=float(np.concatenate([part.psnr_outside_db for part in parts]).mean()),
        identity_cosine=float(np.concatenate([part.identity_cosine for part in parts]).mean()),
        seam_levels=float(np.concatenate([part.seam_levels for part in parts]).mean()),
    )
