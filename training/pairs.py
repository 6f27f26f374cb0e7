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

from data.errors import UserError
from training.interruption import Interrupted
from training.judges import JudgeSet
from training.pair_batch import PairJudges, PairsConfig, make_batch, training_judges
from training.pair_store import PairMeasures, StoredPair, read_chunk, write_chunk, write_pairs
from training.progress import Progress, ProgressFn
from training.stylegan2 import Generator

__all__ = ["PairJudges", "PairsConfig", "PairsResult", "make_pairs", "training_judges"]

SUMMARY = "pairs.json"
SURPLUS = "surplus"


@dataclass(frozen=True)
class PairsResult:
    """How many pairs were kept of how many candidates, and what was dropped, by reason."""

    kept: int
    candidates: int
    dropped: dict[str, int]


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

    Raises UserError where the networks' mappings differ or too few candidates show the attribute, Interrupted where
    `stop()` ended the run.
    """
    check_same_mapping(original, feature)
    pair_judges = judges if isinstance(judges, PairJudges) else training_judges(judges, config)
    chunks_dir = workdir / "chunks"
    _claim(chunks_dir, _fingerprint(original, feature, pair_judges, config))
    chunks = _make_chunks(original, feature, pair_judges, config, chunks_dir, progress, stop or (lambda: False))
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


def _claim(chunks_dir: Path, fingerprint: str) -> None:
    """Empty a folder of chunks made from other inputs, and mark it as belonging to these."""
    mark = chunks_dir / "inputs.sha256"
    if not mark.is_file() or mark.read_text() != fingerprint:
        shutil.rmtree(chunks_dir, ignore_errors=True)
        chunks_dir.mkdir(parents=True)
        mark.write_text(fingerprint)


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
        fresh = not path.is_file()
        if fresh:
            _make_chunk(original, feature, judges, config, path, len(chunks), stop)
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
            pairs, counts = read_chunk(path)
            dropped.update({**counts, SURPLUS: max(len(pairs) - left, 0)})
            yield from pairs[:left]
            left -= min(left, len(pairs))

    measures = write_pairs(out, wanted())
    result = PairsResult(len(measures), len(chunks) * config.chunk_size, dict(sorted(dropped.items())))
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
