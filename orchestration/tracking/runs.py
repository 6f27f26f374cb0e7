"""One MLflow run per asset materialization, under one parent run per Dagster run."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from data import fail_points
from data.whole_file import written_whole
from orchestration.tracking.server import EMBEDDED, be_patient, identity, require_answer
from orchestration.tracking.spool_folder import now_ms
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "editloom"
TAG_DAGSTER_RUN = "editloom.dagster_run"
TAG_ASSET = "editloom.asset"
TAG_PARTITION = "editloom.partition"
TAG_DATA_VERSION = "editloom.data_version"
TAG_ROLE = "editloom.role"
TAG_PARENT = "mlflow.parentRunId"
TAG_IMAGES, TAG_TABLES = "mlflow.loggedImages", "mlflow.loggedArtifacts"
IMAGES = "images"
FINISHED, FAILED, KILLED, RUNNING = "FINISHED", "FAILED", "KILLED", "RUNNING"
# Alembic, with which MLflow makes its tables, knows one database at a time in a process.
_MAKING = threading.Lock()
# MLflow's limits: one param value, one batch of params or metrics, and the column that holds a dataset's digest.
MAX_PARAM_CHARS = 500
MAX_PARAMS_PER_BATCH = 100
MAX_METRICS_PER_BATCH = 1000
MAX_DIGEST_CHARS = 36
# MLflow refuses the plus of a combined attribute in a param's key (and nowhere else).
PLUS_IN_KEYS = ":"
RUNS_LOCK = "mlflow-runs.lock"


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

        at = now_ms() if at_ms is None else at_ms
        self.points([Metric(k, v, at, step) for k, v in finite(metrics).items()])

    def points(self, points: Sequence[Metric]) -> None:
        """Log metric points, each with its own time and step."""
        for start in range(0, len(points), MAX_METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=list(points[start : start + MAX_METRICS_PER_BATCH]))

    def table(self, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Log a table (equally long columns) that MLflow's Evaluation view shows; `file` ends in `_table.json`.

        One that was logged before stays as it was: MLflow would append to it.
        """
        import pandas as pd

        folder = file.rpartition("/")[0] or None
        if file not in {known.path for known in self.client.list_artifacts(self.run_id, folder)}:
            self.client.log_table(self.run_id, pd.DataFrame(dict(columns)), file)
            return
        marks = json.loads(self.client.get_run(self.run_id).data.tags.get(TAG_TABLES, "[]"))
        mark = {"path": file, "type": "table"}
        if mark not in marks:  # whoever logged it was cut off before it said so
            self.client.set_tag(self.run_id, TAG_TABLES, json.dumps([*marks, mark]))

    def image(self, key: str, image: np.ndarray[Any, Any], step: int = 0, at_ms: int | None = None) -> None:
        """Log an H×W×3 uint8 picture as a stepped image; with its own time, telling it twice changes nothing.

        MLflow's `log_image` would draw another name each time: these are its names, with a number that stays.
        """
        from mlflow.tracking.multimedia import compress_image_size
        from PIL import Image

        at = now_ms() if at_ms is None else at_ms
        number = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.run_id}/{key}/{step}/{at}")
        name = f"{image_name(key, step)}timestamp+{at}+{number}"
        picture = Image.fromarray(image)
        with tempfile.TemporaryDirectory() as place:
            picture.save(Path(place, f"{name}.png"))
            compress_image_size(picture).save(Path(place, f"{name}+compressed.webp"))
            self.client.log_artifacts(self.run_id, place, IMAGES)
        self.client.set_tag(self.run_id, TAG_IMAGES, "True")

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
        self.end(FINISHED if succeeded else FAILED, now_ms())

    def end(self, status: str, at_ms: int) -> None:
        """Close the run and its parent with a status and time, except one that has ended later."""
        found = self.client.get_run(self.run_id)
        parent = found.data.tags.get(TAG_PARENT)
        for run in [found, *([self.client.get_run(parent)] if parent else [])]:
            if (run.info.end_time or 0) <= at_ms:
                self.client.set_terminated(run.info.run_id, status, at_ms)


@dataclass(frozen=True)
class Tracker:
    """Finds or makes runs in the one experiment of a workspace."""

    client: MlflowClient
    experiment_id: str

    def parent_run(self, dagster_run: str, name: str, at_ms: int | None = None) -> TrackedRun:
        """The parent run of a Dagster run, which began at `at_ms` (now, when it is not said)."""
        tags = {TAG_ROLE: "parent", TAG_DAGSTER_RUN: dagster_run}
        return self._find_or_create(tags, name, at_ms)

    def asset_run(
        self, dagster_run: str, parent: TrackedRun, asset: str, partition: str | None, at_ms: int | None = None
    ) -> TrackedRun:
        """The run of one materialization; a retried step finds the run it had."""
        name = f"{asset}[{partition}]" if partition else asset
        return self._find_or_create(_asset_tags(dagster_run, asset, partition), name, at_ms, parent)

    def find_asset_run(self, dagster_run: str | None, asset: str, partition: str | None) -> str | None:
        """The id of a materialization's run by what it is tagged with; None when there is none."""
        found = self._search(_asset_tags(dagster_run, asset, partition)) if dagster_run else None
        return None if found is None else str(found.info.run_id)

    def _find_or_create(
        self, tags: Mapping[str, str], name: str, at_ms: int | None, parent: TrackedRun | None = None
    ) -> TrackedRun:
        at = now_ms() if at_ms is None else at_ms
        found = self._search(tags)
        if found is None:
            more = {TAG_PARENT: parent.run_id} if parent else {}
            run = self.client.create_run(self.experiment_id, start_time=at, tags={**tags, **more}, run_name=name)
            return TrackedRun(self.client, run.info.run_id)
        # What is replayed late opens nothing that ended after it.
        if found.info.status != RUNNING and (found.info.end_time or 0) <= at:
            self.client.update_run(found.info.run_id, status=RUNNING)
        return TrackedRun(self.client, found.info.run_id)

    def _search(self, tags: Mapping[str, str]) -> Run | None:
        query = " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())
        found = self.client.search_runs([self.experiment_id], query, max_results=1)
        return found[0] if found else None


def open_tracker(ws: Workspace) -> Tracker:
    """Connect to the workspace's tracking server; the first caller initialises the database, under a lock.

    Raises TrackingAwayError for a server that does not answer.
    """
    be_patient()
    from mlflow import MlflowClient

    # After the import, which sets the level itself: nobody needs to read of each table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    require_answer(ws.mlflow_uri)
    ws.state.mkdir(parents=True, exist_ok=True)
    with FileLock(ws.state / "mlflow.lock"):
        _make_database(ws)
        client = MlflowClient(ws.mlflow_uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            location = ws.mlflow_artifacts.as_uri() if ws.mlflow_uri.startswith("sqlite:") else None
            return Tracker(client, client.create_experiment(EXPERIMENT, artifact_location=location))
    return Tracker(client, experiment.experiment_id)


def _make_database(ws: Workspace) -> None:
    """Make the workspace's own database aside and move it in: MLflow cannot go on from the half of its migrations."""
    database = ws.state / "mlflow.db"
    if identity(ws) != EMBEDDED or database.exists():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _MAKING, written_whole(database, "MLflow's database") as part:
        for left in part.parent.glob(f"{part.name}*"):  # with the journal of whoever died here
            left.unlink()
        store = SqlAlchemyStore(f"sqlite:///{part}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        fail_points.reach("tables-made")


def flattened(params: Mapping[str, Any]) -> dict[str, str]:
    """Params by dotted key, as MLflow will show them."""
    return {key: str(value)[:MAX_PARAM_CHARS] for key, value in _flatten(params)}


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are numbers, by MLflow's key."""
    return {k.replace("+", PLUS_IN_KEYS): float(v) for k, v in metrics.items() if np.isfinite(v)}


def image_name(key: str, step: int) -> str:
    """How the file names of a stepped image begin."""
    return f"{key.replace('/', '~')}+step+{step}+"


def _asset_tags(dagster_run: str, asset: str, partition: str | None) -> dict[str, str]:
    return {TAG_ROLE: "asset", TAG_DAGSTER_RUN: dagster_run, TAG_ASSET: asset, TAG_PARTITION: partition or "-"}


def _flatten(params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in params.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat
