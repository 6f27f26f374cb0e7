"""What an asset function sees: its inputs, its params, where to write, and whom to tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from training.progress import Progress, ProgressFn

from orchestration.devices import Lease
from orchestration.graph import GRAPH, AssetId
from orchestration.params import Params
from orchestration.tracking import TrackedRun
from orchestration.worker import STATUS_DIR_VARIABLE, STOP_FILE
from orchestration.workspace import Workspace

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
    # Runs after the payload stands in the store, for what must name it (registering a model).
    after_publish: Callable[[str], Mapping[str, str]] | None = None


@dataclass(frozen=True)
class Step:
    """One materialization in progress. `out` becomes the payload, `workdir` survives a kill, `evidence` stays beside."""

    ws: Workspace
    params: Params
    id: AssetId
    out: Path
    workdir: Path
    evidence: Path
    run: TrackedRun
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
        """Whether `editloom run` was interrupted, or has died: then save and leave."""
        folder = os.environ.get(STATUS_DIR_VARIABLE)
        return folder is not None and (Path(folder).parent / STOP_FILE).exists()

    def picture(self, key: str, image: np.ndarray[Any, Any], step: int) -> None:
        """Log a stepped image grid (H×W×3 uint8)."""
        self.run.image(key, image, step)
