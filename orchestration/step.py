"""What an asset function sees: its inputs, its params, where to write, and whom to tell."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data import fail_points
from data.counting import CountFn
from orchestration.compute.leases import Lease
from orchestration.compute.usage import Usage
from orchestration.graph import GRAPH, AssetId
from orchestration.params import Params
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import StepLog
from orchestration.worker import stop_requested
from orchestration.workspace import Workspace
from training.progress import Progress, ProgressFn

METRIC_EVERY_STEPS = 50


@dataclass(frozen=True)
class CheckOutcome:
    """One blocking check: whether it passed, what failed, and its full result document."""

    name: str
    passed: bool
    summary: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What an asset function returns: metadata for both pages, pictures, and its checks."""

    metadata: Mapping[str, float | int | str] = field(default_factory=dict)
    images: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    checks: tuple[CheckOutcome, ...] = ()
    usage: Usage | None = None
    """What it used, where that was not this machine."""


@dataclass(frozen=True)
class Step:
    """One materialization in progress: `out` becomes the payload, `workdir` survives a kill, `evidence` stays."""

    ws: Workspace
    params: Params
    id: AssetId
    out: Path
    workdir: Path
    evidence: Path
    run: StepLog
    report: ProgressFn
    lease: Lease

    @property
    def partition(self) -> str:
        """The partition key; an asset without one has no business asking."""
        if self.id.partition is None:
            raise ValueError(f"{self.id} has no partition")
        return self.id.partition

    def input(self, asset: str) -> Path:
        """The payload directory of an upstream asset (same partition when it has one).

        Raises ValueError for an edge that the graph does not show.
        """
        if asset not in GRAPH[self.id.asset].deps:
            raise ValueError(f"{self.id.asset} reads {asset}, an edge that the graph does not show")
        return self.ws.payload(asset, self.id.partition if GRAPH[asset].partition else None)

    def progress(self, progress: Progress) -> None:
        """Report progress to whoever watches, and its metrics to MLflow."""
        self.report(progress)
        if progress.metrics and (progress.step % METRIC_EVERY_STEPS == 0 or progress.step == progress.total):
            self.run.metrics(progress.metrics, progress.step)

    def should_stop(self) -> bool:
        """Whether `editloom run` was interrupted: then save and leave."""
        return stop_requested()

    @property
    def seed(self) -> int:
        """This asset's own seed, drawn from the root seed and its id, so that no two assets share their draws."""
        return seed_of(self.params.seed, str(self.id))

    @property
    def lightning_accelerator(self) -> str:
        """Lightning's name for the leased device."""
        return "gpu" if self.lease.accelerator == "cuda" else "cpu"

    def counted(self, unit: str) -> CountFn:
        """Progress for rooms that only count: a function of (done, total)."""
        started = time.monotonic()

        def report(done: int, total: int) -> None:
            rate = done / max(time.monotonic() - started, 1e-6)
            self.report(Progress(done, total, unit, rate, (total - done) / max(rate, 1e-6)))
            fail_points.reach(f"{unit}-counted")

        return report

    def picture(self, key: str, image: np.ndarray[Any, Any], step: int) -> None:
        """Log a stepped image grid (H×W×3 uint8)."""
        self.run.image(key, image, step)
        fail_points.reach("picture-logged")


@dataclass(frozen=True)
class Published:
    """What a gate sees: a payload that is published and recorded, and the device that measures."""

    ws: Workspace
    params: Params
    id: AssetId
    entry: LedgerEntry
    lease: Lease


Gate = Callable[[Published], CheckOutcome]
"""Decides on what was published, once: asked again, it says what it said."""


def seed_of(root_seed: int, name: str) -> int:
    """The seed of what bears `name`, an asset's id for one: those of two names share no draws."""
    digest = hashlib.sha256(f"editloom.seed/{root_seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
