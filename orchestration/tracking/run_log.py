"""What a step can tell its run in MLflow, whoever carries it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class StepLog(Protocol):
    """What the making of a payload logs as it goes, on whatever machine."""

    def metrics(self, metrics: Mapping[str, float], step: int = 0, at_ms: int | None = None) -> None:
        """Log finite metrics of one step, with their own time (ms since 1970)."""
        ...

    def image(self, key: str, image: np.ndarray[Any, Any], step: int = 0) -> None:
        """Log an H×W×3 uint8 picture as a stepped image."""
        ...


class RunLog(StepLog, Protocol):
    """One run, as a step sees it. Every method may be called again after a retry."""

    @property
    def run_id(self) -> str | None:
        """MLflow's id; None while the server is away and the run is not made yet."""
        ...

    def params(self, params: Mapping[str, Any]) -> None:
        """Log params, flattened to dotted keys."""
        ...

    def table(self, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Log a table (equally long columns); `file` ends in `_table.json`."""
        ...

    def dataset(
        self, name: str, sha256: str, source: str, context: str, facts: Mapping[str, int | str] | None = None
    ) -> None:
        """Log a dataset input by its sha256."""
        ...

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy one file, or a directory's files, to the run's artifacts."""
        ...

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        ...

    def finish(self, *, succeeded: bool) -> None:
        """Say how the step ended."""
        ...
