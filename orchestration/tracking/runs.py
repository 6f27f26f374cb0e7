"""One MLflow run per asset materialization, under one parent run per Dagster run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "editloom"
TAG_DAGSTER_RUN = "editloom.dagster_run"
TAG_ASSET = "editloom.asset"
TAG_PARTITION = "editloom.partition"
TAG_DATA_VERSION = "editloom.data_version"
TAG_ROLE = "editloom.role"
TAG_PARENT = "mlflow.parentRunId"
# MLflow's limits: one param value, one batch of params or metrics, and the column that holds a dataset's digest.
MAX_PARAM_CHARS = 500
MAX_PARAMS_PER_BATCH = 100
MAX_METRICS_PER_BATCH = 1000
MAX_DIGEST_CHARS = 36
# MLflow refuses the plus of a combined attribute in a param's key (and nowhere else).
PLUS_IN_KEYS = ":"


@dataclass(frozen=True)
class TrackedRun:
    """One MLflow run. Every method is safe to call again after a retry."""

    client: MlflowClient
    run_id: str

    def params(self, params: Mapping[str, Any]) -> None:
        """Log params flattened to dotted keys; a param that was logged before stays as it was."""
        from mlflow.entities import Param

        logged = self.client.get_run(self.run_id).data.params
        keyed = [(k.replace("+", PLUS_IN_KEYS), v) for k, v in _flatten(params)]
        flat = [(k, str(v)[:MAX_PARAM_CHARS]) for k, v in keyed if k not in logged]
        for start in range(0, len(flat), MAX_PARAMS_PER_BATCH):
            batch = [Param(k, v) for k, v in flat[start : start + MAX_PARAMS_PER_BATCH]]
            self.client.log_batch(self.run_id, params=batch)

    def metrics(self, metrics: Mapping[str, float], step: int = 0, at_ms: int | None = None) -> None:
        """Log finite metrics of one step; with their own time (ms since 1970), telling them twice changes nothing."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000) if at_ms is None else at_ms
        keyed = ((k.replace("+", PLUS_IN_KEYS), v) for k, v in metrics.items())
        finite = [Metric(k, float(v), now_ms, step) for k, v in keyed if np.isfinite(v)]
        for start in range(0, len(finite), MAX_METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=finite[start : start + MAX_METRICS_PER_BATCH])

    def table(self, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Log a table (equally long columns) that MLflow's Evaluation view shows; `file` ends in `_table.json`.

        One that was logged before stays as it was: MLflow would append to it.
        """
        import pandas as pd

        folder = file.rpartition("/")[0] or None
        if file not in {known.path for known in self.client.list_artifacts(self.run_id, folder)}:
            self.client.log_table(self.run_id, pd.DataFrame(dict(columns)), file)

    def image(self, key: str, image: np.ndarray[Any, Any], step: int = 0) -> None:
        """Log an H×W×3 uint8 picture as a stepped image."""
        self.client.log_image(self.run_id, image, key=key, step=step, synchronous=True)

    def dataset(
        self, name: str, sha256: str, source: str, context: str, facts: Mapping[str, int | str] | None = None
    ) -> None:
        """Log a dataset input by our own sha256 (MLflow's digests cover 10,000 rows only).

        `source` is its place in the workspace, `context` MLflow's own (`evaluation` for what was measured on).
        """
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made at import
        from mlflow.entities import Dataset, DatasetInput, InputTag

        place = LocalArtifactDatasetSource(source)
        # mypy: MLflow leaves `profile` abstract, and makes instances all the same.
        known = MetaDataset(place, name, sha256[:MAX_DIGEST_CHARS]).to_dict()  # type: ignore[abstract]
        dataset = Dataset(**known, profile=json.dumps({"sha256": sha256, **(facts or {})}))
        tags = [InputTag("mlflow.data.context", context), InputTag("editloom.sha256", sha256)]
        self.client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags)])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy one file, or a directory's files, to the run's artifacts."""
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, value)

    def finish(self, *, succeeded: bool) -> None:
        """Close the run as finished or failed, and its parent too: the next asset of its Dagster run opens it again."""
        status = "FINISHED" if succeeded else "FAILED"
        self.client.set_terminated(self.run_id, status)
        parent = self.client.get_run(self.run_id).data.tags.get(TAG_PARENT)
        if parent is not None:
            self.client.set_terminated(parent, status)


@dataclass(frozen=True)
class Tracker:
    """Finds or makes runs in the one experiment of a workspace."""

    client: MlflowClient
    experiment_id: str

    def parent_run(self, dagster_run: str, name: str) -> TrackedRun:
        """The parent run of a Dagster run."""
        tags = {TAG_ROLE: "parent", TAG_DAGSTER_RUN: dagster_run}
        return self._find_or_create(tags, name)

    def asset_run(self, dagster_run: str, parent: TrackedRun, asset: str, partition: str | None) -> TrackedRun:
        """The run of one materialization; a retried step finds the run it had."""
        tags = {
            TAG_ROLE: "asset",
            TAG_DAGSTER_RUN: dagster_run,
            TAG_ASSET: asset,
            TAG_PARTITION: partition or "-",
        }
        name = f"{asset}[{partition}]" if partition else asset
        return self._find_or_create(tags, name, {TAG_PARENT: parent.run_id})

    def _find_or_create(self, tags: dict[str, str], name: str, more: Mapping[str, str] | None = None) -> TrackedRun:
        query = " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())
        found = self.client.search_runs([self.experiment_id], query, max_results=1)
        if found:
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return TrackedRun(self.client, found[0].info.run_id)
        run = self.client.create_run(self.experiment_id, tags={**tags, **(more or {})}, run_name=name)
        return TrackedRun(self.client, run.info.run_id)


def open_tracker(ws: Workspace) -> Tracker:
    """Connect to the workspace's tracking server; the first caller initialises the database, under a lock."""
    from mlflow import MlflowClient

    # After the import, which sets the level itself: nobody needs to read of each table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    ws.state.mkdir(parents=True, exist_ok=True)
    with FileLock(ws.state / "mlflow.lock"):
        client = MlflowClient(ws.mlflow_uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            location = ws.mlflow_artifacts.as_uri() if ws.mlflow_uri.startswith("sqlite:") else None
            return Tracker(client, client.create_experiment(EXPERIMENT, artifact_location=location))
    return Tracker(client, experiment.experiment_id)


def _flatten(params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat
