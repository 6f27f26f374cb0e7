"""Training pairs of an attribute: (original image, fused target image) for each latent that shows the edit.

Source: US 2024/0193822 A1 (METHODS A4, A5, A7).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from data.errors import UserError
from data.render import region_of
from training.fusion import FusedBatch, FusionConfig, fuse_with_traces, fusion_stops, trace
from training.joint_mask import MaskSource, ParserMask
from training.judges import JudgeSet
from training.pair_store import PairMeasures, StoredPair, encode_pair, read_chunk, write_chunk, write_pairs
from training.progress import Progress, ProgressFn
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

SUMMARY = "pairs.json"
HAD_ATTRIBUTE = "original_has_attribute"
LACKS_ATTRIBUTE = "target_lacks_attribute"
OUTSIDE_CHANGED = "changed_outside"
NO_REGION = "region_too_small"


class PairsConfig(BaseModel):
    """How many pairs, how they are fused, which are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str = Field(min_length=1, description="the target attribute, by the judges' name")
    regions: tuple[str, ...] = Field(default=(), description="parser regions of the joint mask; empty = the attribute's")
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
    """What pairs need of the training judges: region masks, attribute probability N, identity unit vectors N×D."""

    mask: MaskSource
    probability: Callable[[Tensor], Tensor]
    identity: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PairsResult:
    """How many pairs were kept of how many candidates; `finished` is False where `stop` ended the run."""

    finished: bool
    kept: int
    candidates: int
    dropped: dict[str, int]


def training_judges(judges: JudgeSet, config: PairsConfig) -> PairJudges:
    """The judges of a pairs run; only `*_train` ones, since what makes a mask or filters may not judge."""
    regions = config.regions or region_of(config.attribute)
    return PairJudges(
        mask=ParserMask(judges.parser_train, regions, config.dilate_px),
        probability=lambda images: judges.attribute_train.probability(images, config.attribute),
        identity=judges.identity_train.vectors,
    )


def make_pairs(
    original: Generator,
    feature: Generator,
    judges: JudgeSet | PairJudges,
    config: PairsConfig,
    out: Path,
    workdir: Path,
    progress: ProgressFn | None = None,
    stop: Callable[[], bool] | None = None,
) -> PairsResult:
    """Write the pairs' payload to `out`; a stopped run continues from `workdir`, a pair being a function of its index.

    Raises UserError where the networks' mappings differ or too few candidates show the attribute.
    """
    check_same_mapping(original, feature)
    pair_judges = judges if isinstance(judges, PairJudges) else training_judges(judges, config)
    claim_workdir(workdir, _fingerprint(original, feature, config))
    chunks = _make_chunks(original, feature, pair_judges, config, workdir, progress, stop or (lambda: False))
    if chunks is None:
        return PairsResult(finished=False, kept=0, candidates=0, dropped={})
    return _assemble(out, chunks, config)


def check_same_mapping(original: Generator, feature: Generator) -> None:
    """Raise UserError unless both networks turn z into the same w."""
    ours, theirs = original.mapping.state_dict(), feature.mapping.state_dict()
    layers = [name for name in ours if name != "w_avg"]
    if not all(name in theirs and torch.equal(ours[name], theirs[name]) for name in layers):
        raise UserError(
            "The feature network's mapping is not the original network's, so their images do not correspond.",
            "Fine-tune the feature network from this original network, with its mapping frozen.",
        )


def claim_workdir(workdir: Path, fingerprint: str) -> None:
    """Empty a work directory left by other inputs, and mark it as belonging to these."""
    mark = workdir / "inputs.sha256"
    if not mark.is_file() or mark.read_text() != fingerprint:
        shutil.rmtree(workdir, ignore_errors=True)
        workdir.mkdir(parents=True)
        mark.write_text(fingerprint)


def _fingerprint(original: Generator, feature: Generator, config: PairsConfig) -> str:
    digest = hashlib.sha256(config.model_dump_json().encode())
    for network in (original, feature):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _make_chunks(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    config: PairsConfig,
    workdir: Path,
    progress: ProgressFn | None,
    stop: Callable[[], bool],
) -> list[Path] | None:
    chunks: list[Path] = []
    kept, made, started = 0, 0, time.monotonic()
    while kept < config.count:
        _check_yield(config, kept, len(chunks) * config.chunk_size)
        path = workdir / f"{len(chunks):06d}.tar"
        fresh = not path.is_file()
        if fresh and not _make_chunk(original, feature, judges, config, path, len(chunks), stop):
            return None
        here = len(read_chunk(path)[0])
        chunks, kept, made = [*chunks, path], kept + here, made + here * fresh
        if progress is not None and kept:
            progress(_report(min(kept, config.count), config.count, made, time.monotonic() - started))
    return chunks


def _report(kept: int, total: int, made: int, elapsed_s: float) -> Progress:
    rate = made / max(elapsed_s, 1e-6)
    return Progress(kept, total, "pairs", rate, (total - kept) / rate if rate else 0.0)


def _check_yield(config: PairsConfig, kept: int, candidates: int) -> None:
    if candidates >= config.max_candidates_per_pair * max(config.count, config.chunk_size):
        raise UserError(
            f"Only {kept} of {config.count} pairs with attribute {config.attribute!r} came out of {candidates} candidates.",
            "Fine-tune the feature network longer, lower min_probability, or fuse at an earlier layer.",
        )


def _make_chunk(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    config: PairsConfig,
    path: Path,
    number: int,
    stop: Callable[[], bool],
) -> bool:
    pairs: list[StoredPair] = []
    counts: Counter[str] = Counter()
    first = number * config.chunk_size
    for start in range(first, first + config.chunk_size, config.batch_size):
        if stop():
            return False
        indices = torch.arange(start, min(start + config.batch_size, first + config.chunk_size))
        pairs += make_batch(original, feature, judges, config, indices, counts)
    write_chunk(path, pairs, dict(sorted(counts.items())))
    return True


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


def _assemble(out: Path, chunks: list[Path], config: PairsConfig) -> PairsResult:
    dropped: Counter[str] = Counter()

    def wanted() -> Iterator[StoredPair]:
        left = config.count
        for path in chunks:
            pairs, counts = read_chunk(path)
            dropped.update({**counts, "surplus": max(len(pairs) - left, 0)})
            yield from pairs[:left]
            left -= min(left, len(pairs))

    measures = write_pairs(out, wanted())
    result = PairsResult(True, len(measures), len(chunks) * config.chunk_size, dict(sorted(dropped.items())))
    (out / SUMMARY).write_text(json.dumps(_summary(result, measures, config), indent=2, sort_keys=True) + "\n")
    return result


def _summary(result: PairsResult, measures: list[PairMeasures], config: PairsConfig) -> dict[str, object]:
    names = [name for name in PairMeasures.__dataclass_fields__ if name != "index"]
    means = {name: float(np.mean([getattr(pair, name) for pair in measures])) for name in names}
    return {
        "format": 1,
        "config": config.model_dump(mode="json"),
        "kept": result.kept,
        "candidates": result.candidates,
        "dropped": result.dropped,
        "mean": means,
    }
