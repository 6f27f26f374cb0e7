"""`judges`: trains every judge on its pool, scores it on held-out subjects, writes the payload."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from safetensors.torch import save as tensor_bytes

from data.whole_file import written_whole
from training.allocator import keep_freed_memory
from training.checkpoints import CheckpointFolder
from training.interruption import Interrupted, StopRequest
from training.judges.card import card_text
from training.judges.clip_network import caption_tokens
from training.judges.config import JUDGES, JudgeImagesConfig, JudgeSpec, JudgeTrainingConfig, PoolName
from training.judges.images import read_judge_images, rows_digest, subject_range
from training.judges.learning import JITTER, learn
from training.judges.loading import MANIFEST, JudgeRecord, JudgesManifest, NetworkRecord, build_judge
from training.judges.networks import JUDGE_SIZE_PX
from training.judges.objectives import network_for
from training.judges.pools import Pool, channel_statistics, pool_of
from training.judges.scores import colour_histogram_rank1, scores_of
from training.progress import Progress, ProgressFn

REPORT_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 60.0


@dataclass(frozen=True)
class TrainedJudges:
    """What `train_judges` wrote: judge → sha256 of its weights, judge → held-out scores."""

    digests: dict[str, str]
    scores: dict[str, dict[str, float]]


def train_judges(
    judge_images_dir: Path,
    out: Path,
    config: JudgeTrainingConfig,
    progress: ProgressFn | None = None,
    workdir: Path | None = None,
    stop: Callable[[], bool] | None = None,
    *,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> TrainedJudges:
    """Train all judges and write the payload of `judges`: <name>.safetensors and judges.json.

    `workdir` keeps the pools' pixels, each finished judge and the checkpoints of the one at hand: the same call goes on
    from there. Raises UserError when judge_images is missing or was written with another renderer; Interrupted where
    SIGTERM, SIGINT or `stop()` ended it.
    """
    keep_freed_memory()
    records: dict[str, JudgeRecord] = {}
    with StopRequest(stop) as stopping:
        place = _Place(workdir or out.parent / f"{out.name}.work", checkpoint_every_s)
        run = _Run(judge_images_dir, config, place, progress, stopping)
        out.mkdir(parents=True, exist_ok=True)
        for spec in JUDGES:
            weights = run.weights(spec)
            records[spec.name] = run.record(spec, weights)
            (out / records[spec.name].file).write_bytes(weights)
    manifest = run.manifest(records)
    (out / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n")
    return TrainedJudges(
        digests={name: record.sha256 for name, record in records.items()},
        scores={name: record.scores for name, record in records.items()},
    )


@dataclass(frozen=True)
class _Place:
    """The working directory, and the seconds from one checkpoint in it to the next."""

    workdir: Path
    checkpoint_every_s: float

    def checkpoints(self, spec: JudgeSpec, key: str) -> CheckpointFolder:
        """Those of a judge's training, which is the one that `key` names."""
        return CheckpointFolder(self.workdir / "checkpoints" / f"{spec.name}-{key[:16]}", self.checkpoint_every_s, key)


class _Run:
    """One training of the whole set: its data, its working directory, its progress, who may stop it."""

    def __init__(
        self,
        judge_images_dir: Path,
        config: JudgeTrainingConfig,
        place: _Place,
        progress: ProgressFn | None,
        stopping: StopRequest,
    ) -> None:
        rows, dataset = read_judge_images(judge_images_dir)
        self.rows: pa.Table = rows
        self.dataset: dict[str, Any] = dataset
        self.images_config = JudgeImagesConfig.model_validate(dataset["config"])
        self.kind = self.images_config.kind
        self.config = config
        self.place = place
        self.stopping = stopping
        self.report = _Reporter(progress, sum(_images_seen(config, spec) for spec in JUDGES))
        self._held_out: Pool | None = None

    def pool(self, name: PoolName) -> Pool:
        """A pool's pictures; rendered at most once per working directory."""
        folder = self.place.workdir / "pools" / f"{name}-{self._pool_key(name)[:16]}"

        def rendering(done: int, total: int) -> None:
            if self.stopping():
                raise Interrupted(f"stopped while rendering the pool {name}")
            self.report(0, f"rendering {name} subjects: {done}/{total}", {})

        return pool_of(name, self.rows, self.images_config, folder, rendering)

    def held_out(self) -> Pool:
        """The pictures of the scores."""
        if self._held_out is None:
            self._held_out = self.pool("held_out")
        return self._held_out

    def weights(self, spec: JudgeSpec) -> bytes:
        """A judge's weights file: from an earlier run of the same configuration, or trained now."""
        key = self._key(spec)
        path = self.place.workdir / "weights" / f"{spec.name}-{key[:16]}.safetensors"
        missing = not path.is_file()
        if missing:
            checkpoints = self.place.checkpoints(spec, key)
            trained = self._train(spec, checkpoints)
            with written_whole(path, "a judge's weights") as part:
                part.write_bytes(trained)
            shutil.rmtree(checkpoints.directory, ignore_errors=True)
        self.report.finished(_images_seen(self.config, spec), trained=missing)
        return path.read_bytes()

    def record(self, spec: JudgeSpec, weights: bytes) -> JudgeRecord:
        """The judge's entry of judges.json, with the scores of the weights as stored."""
        record = JudgeRecord(
            kind=spec.kind,
            role=spec.role,
            file=f"{spec.name}.safetensors",
            sha256=hashlib.sha256(weights).hexdigest(),
            network=self._network(spec),
            training_subjects=subject_range(spec.pool, self.images_config),
            held_out_subjects=subject_range("held_out", self.images_config),
        )
        judge = build_judge(spec.name, record, weights, self.kind.attributes, self.kind.regions)
        return record.model_copy(update={"scores": scores_of(judge, self.held_out(), self.kind)})

    def manifest(self, records: dict[str, JudgeRecord]) -> JudgesManifest:
        """judges.json."""
        histogram = colour_histogram_rank1(self.held_out().images, self.held_out().subjects)
        return JudgesManifest(
            format=1,
            size_px=JUDGE_SIZE_PX,
            category=self.kind.name,
            attributes=self.kind.attributes,
            regions=self.kind.regions,
            renderer_digest=self.dataset["renderer_digest"],
            dataset_digest=self.dataset["dataset_digest"],
            config={"judge_images": self.images_config.model_dump(), "judges": self.config.model_dump()},
            judges=records,
            colour_histogram_rank1=histogram,
            card=card_text(records, self.images_config, self.config, histogram),
        )

    def _train(self, spec: JudgeSpec, checkpoints: CheckpointFolder) -> bytes:
        batch, network, pool = self.config.batch_of(spec.kind), self._network(spec), self.pool(spec.pool)

        def learning(iteration: int, loss: float) -> None:
            self.report(iteration * batch, f"training {spec.name}", {"loss": loss})

        state = learn(spec, network, pool, self.config, self.kind, learning, checkpoints, self.stopping)
        return tensor_bytes(dict(sorted(state.items())))

    def _network(self, spec: JudgeSpec) -> NetworkRecord:
        network = network_for(spec.kind, len(self.kind.attributes), len(self.kind.regions))
        if spec.kind != "clip":
            return network
        mean, std = channel_statistics(self.pool(spec.pool))
        return network.model_copy(update={"mean": mean, "std": std, "tokens": caption_tokens(self.kind.name)})

    def _pool_key(self, name: PoolName) -> str:
        """What a pool's pixels depend on: another pool's rows do not count."""
        rows = self.rows.filter(pc.field("pool") == name)
        digest = rows_digest(rows, self.images_config)
        return _digest({"rows": digest, "renderer": self.dataset["renderer_digest"]})

    def _key(self, spec: JudgeSpec) -> str:
        """What a judge's weights depend on."""
        return _digest(
            {
                "pool": self._pool_key(spec.pool),
                "jitter": JITTER[spec.kind],
                "judge": spec.name,
                "network": self._network(spec).model_dump(),
                "iterations": self.config.iterations(spec.kind),
                "batch_size": self.config.batch_of(spec.kind),
                "learning_rate": self.config.peak_rate(spec.kind),
                "weight_decay": self.config.weight_decay,
                "seed": self.config.seed,
                "threads": torch.get_num_threads(),
            }
        )


class _Reporter:
    """Adds up the judges' progress into one count of images, at most one report per second."""

    def __init__(self, progress: ProgressFn | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._before = 0
        self._began = self._last = time.monotonic()
        self._trained = 0

    def __call__(self, images: int, note: str, metrics: dict[str, float]) -> None:
        now = time.monotonic()
        if self._progress is None or now - self._last < REPORT_EVERY_S:
            return
        self._last = now
        rate = (self._trained + images) / max(now - self._began, 1e-9)
        step = self._before + images
        left = (self._total - step) / rate if rate else float("inf")
        self._progress(Progress(step, self._total, "images", rate, left, note, metrics))

    def finished(self, images: int, trained: bool) -> None:
        """A judge is done; only one trained now says something about the rate."""
        self._before += images
        self._trained += images if trained else 0


def _images_seen(config: JudgeTrainingConfig, spec: JudgeSpec) -> int:
    return config.iterations(spec.kind) * config.batch_of(spec.kind)


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
