"""One attempt at one asset: what is wanted, where it works, its run in MLflow, and the documents beside its payload."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.whole_file import written_whole
from orchestration.graph import AssetId
from orchestration.outside_files import place
from orchestration.params import Params
from orchestration.progress import StatusFile
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.staging import remove
from orchestration.tracking import RunLog
from orchestration.tracking.spooled_run import begin_run
from orchestration.worker import STATUS_DIR_VARIABLE
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Attempt:
    """One attempt at one asset: where, what is wanted, by which Dagster run."""

    ws: Workspace
    params: Params
    id: AssetId
    wanted: Wanted
    dagster_run: str
    run_name: str
    status: StatusFile
    consent: str

    @property
    def evidence(self) -> Path:
        """The folder beside the payload, made when it is not there."""
        folder = self.ws.root / self.id.evidence_path
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def workdir_of(ws: Workspace, wanted: Wanted) -> Path:
    """The directory of the checkpoints of whoever makes exactly what is wanted, there or not."""
    digest = hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()[:16]
    return ws.workdir(wanted.id.asset, wanted.id.partition) / digest


def claim_workdir(attempt: Attempt) -> Path:
    """The directory of this very attempt's checkpoints; those of other params or inputs are dropped."""
    own = workdir_of(attempt.ws, attempt.wanted)
    for other in own.parent.glob("*"):
        if other.is_dir() and other != own and other.name not in attempt.params.attributes:
            remove(other)
    own.mkdir(parents=True, exist_ok=True)
    return own


def tracked_run(attempt: Attempt) -> RunLog:
    """The attempt's run in MLflow, with its settings and inputs; a retry finds the run that it began."""
    parent = f"{attempt.run_name} {attempt.id.partition or ''}".strip()
    run = begin_run(attempt.ws, attempt.dagster_run, attempt.id, parent)
    run.params(attempt.wanted.params)
    for name, version in attempt.wanted.inputs.items():
        run.dataset(name, version, place(name), "input")
    return run


def publish_record(attempt: Attempt, run: RunLog) -> PublishRecord:
    """What the attempt says of its payload when it is published; no MLflow run while its server is away."""
    return PublishRecord(
        wanted=attempt.wanted, consent=attempt.consent, dagster_run=attempt.dagster_run, mlflow_run=run.run_id
    )


def status_folder(ws: Workspace, run_id: str) -> Path:
    """Where a Dagster run's steps say how far they are: the folder of `editloom run`, or else one of the run's own."""
    named = os.environ.get(STATUS_DIR_VARIABLE)
    return Path(named) if named else ws.state / "runs" / run_id / "status"


def read_document(path: Path) -> dict[str, Any]:
    """A JSON document beside a payload; empty when it is not there."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document beside a payload, whole or not at all."""
    with written_whole(path, durable=False) as part:
        part.write_text(json.dumps(document, indent=1, sort_keys=True, default=str))
