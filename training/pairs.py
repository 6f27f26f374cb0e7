"""Training pairs of an attribute: (original image, fused target image) for each latent that shows the edit.

Source: US 2024/0193822 A1 (METHODS A4, A5, A7).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.attribute_names import parts_of
from data.errors import UserError
from data.whole_file import remove_parts, written_whole
from training.complexity import FusionPresets, mean_region_area, schedule_for
from training.fusion import check_same_mapping
from training.fusion_schedule import check_layers
from training.interruption import Interrupted, StopRequest
from training.judges import JudgeSet
from training.pair_batch import PairJudges, PairsConfig, make_batch, training_judges
from training.pair_chunks import is_whole, read_pairs, read_rows, write_chunk
from training.pair_store import PairsWritten, StoredPair, write_pairs
from training.progress import Progress, ProgressFn
from training.stylegan2 import Generator

__all__ = ["PairJudges", "PairsConfig", "PairsResult", "make_pairs", "read_config", "training_judges", "with_schedule"]

SUMMARY = "pairs.json"
SURPLUS = "surplus"
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairsResult:
    """How many pairs were kept of how many candidates, and what was dropped, by reason."""

    kept: int
    candidates: int
    dropped: dict[str, int]


def with_schedule(
    config: PairsConfig,
    presets: FusionPresets,
    judges: PairJudges,
    attribute_images: NDArray[np.uint8],
    device: torch.device | str = "cpu",
) -> PairsConfig:
    """`config` with the schedule that the complexity rule chooses, and the decision (METHODS A6).

    The region's area is measured by the pairs' own mask source on images of the second set, uint8 N×H×W×3.
    """
    area = mean_region_area(judges.mask, attribute_images, device)
    fusion, decision = schedule_for(presets, len(parts_of(config.attribute)), area)
    return config.model_copy(update={"fusion": fusion, "decision": decision})


def read_config(directory: Path) -> PairsConfig:
    """The settings that a payload of `edit_pairs` was made with, its schedule resolved; raises UserError."""
    path = directory / SUMMARY
    try:
        return PairsConfig.model_validate(json.loads(path.read_text(encoding="utf-8"))["config"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a readable summary of pairs ({error}).", "Make the pairs again.") from error


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

    The cost of a pair and the memory needed do not depend on their number. The networks, on one device with the
    judges, decide where it runs. Raises UserError where the networks' mappings differ, they lack a layer of the
    schedule, or too few candidates pass the filters, Interrupted where SIGTERM, SIGINT or `stop()` ended the run.
    """
    check_same_mapping(original, feature)
    check_layers(config.fusion, original.synthesis.layer_names)
    size_px, device = original.config.size_px, next(original.parameters()).device
    pair_judges = judges if isinstance(judges, PairJudges) else training_judges(judges, config, size_px, device)
    chunks_dir = workdir / "chunks"
    _claim(chunks_dir, _fingerprint(original, feature, pair_judges, config))
    with StopRequest(stop) as stopping:
        chunks = _make_chunks(original, feature, pair_judges, config, chunks_dir, progress, stopping)
    return _assemble(out, chunks, config)


def _claim(chunks_dir: Path, fingerprint: str) -> None:
    """Empty a folder of chunks made from other inputs, and mark it as belonging to these."""
    mark = chunks_dir / "inputs.sha256"
    if not mark.is_file() or mark.read_text() != fingerprint:
        shutil.rmtree(chunks_dir, ignore_errors=True)
        with written_whole(mark) as part:
            part.write_text(fingerprint)
    remove_parts(chunks_dir)


def _fingerprint(original: Generator, feature: Generator, judges: PairJudges, config: PairsConfig) -> str:
    digest = hashlib.sha256((config.model_dump_json() + judges.digest).encode())
    for network in (original, feature):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _make_chunks(
    original: Generator,
    feature: Generator,
    judges: PairJudges,
    config: PairsConfig,
    chunks_dir: Path,
    progress: ProgressFn | None,
    stop: Callable[[], bool],
) -> list[Path]:
    chunks: list[Path] = []
    kept, made, started = 0, 0, time.monotonic()
    while kept < config.count:
        _check_yield(config, kept, len(chunks) * config.chunk_size)
        path = chunks_dir / f"{len(chunks):06d}.tar"
        fresh = not is_whole(path)
        if fresh:
            if path.exists():
                LOGGER.warning("%s is damaged: its pairs are made again.", path)
            _make_chunk(original, feature, judges, config, path, len(chunks), stop)
        here = len(read_rows(path))
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
            f"Only {kept} of {config.count} pairs with {config.attribute!r} came out of {candidates} candidates.",
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
) -> None:
    pairs: list[StoredPair] = []
    counts: Counter[str] = Counter()
    first = number * config.chunk_size
    for start in range(first, first + config.chunk_size, config.batch_size):
        if stop():
            raise Interrupted(f"stopped at candidate {start}")
        indices = torch.arange(start, min(start + config.batch_size, first + config.chunk_size))
        pairs += make_batch(original, feature, judges, config, indices, counts)
    write_chunk(path, pairs, dict(sorted(counts.items())))


def _assemble(out: Path, chunks: list[Path], config: PairsConfig) -> PairsResult:
    dropped: Counter[str] = Counter()

    def wanted() -> Iterator[StoredPair]:
        left = config.count
        for path in chunks:
            rows = read_rows(path)
            dropped.update({**rows.counts, SURPLUS: max(len(rows) - left, 0)})
            yield from read_pairs(path, left)
            left -= min(left, len(rows))

    written = write_pairs(out, wanted())
    result = PairsResult(written.count, len(chunks) * config.chunk_size, dict(sorted(dropped.items())))
    (out / SUMMARY).write_text(json.dumps(_summary(result, written, config), indent=2, sort_keys=True) + "\n")
    return result


def _summary(result: PairsResult, written: PairsWritten, config: PairsConfig) -> dict[str, object]:
    return {
        "format": 2,
        "config": config.model_dump(mode="json"),
        "kept": result.kept,
        "candidates": result.candidates,
        "dropped": result.dropped,
        "mean": written.means,
    }
