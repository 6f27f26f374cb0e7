"""What a version's own report recorded, found through its release: in the workspace, DVC's cache, or MLflow."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from data.errors import UserError
from evaluation.recorded_comparison import RecordedReport
from orchestration.announcement import RELEASE_FILE
from orchestration.graph import AssetId
from orchestration.store import dvc, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import Tracker
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

REPORT, HELD_OUT, METRICS = "attribute_report", "aligned_images", "metrics.json"
SHOWN_ONLY = ("bootstrap", "sheet_rows")
"""Settings of a report that change no measured value."""


def recorded_report(
    ws: Workspace, tracker: Tracker, model: ModelVersion, files: Path, attribute: str
) -> RecordedReport:
    """The numbers of a version's own report; `files` are the version's. Raises UserError where they are nowhere."""
    release = json.loads((files / RELEASE_FILE).read_text())
    entry = _entry(ws, AssetId(REPORT, attribute), release["report"])
    record = _in_place(ws, entry) or _tracked(tracker, entry) if entry else None
    if entry is None or record is None:
        raise UserError(
            f"The report {release['report'][:12]} of {model.name} version {model.version} is not to be found here.",
            "Fetch it with `dvc fetch` at the commit of its release, or leave out --recorded to measure anew.",
        )
    return RecordedReport.of(record, attribute, _measured_on(entry))


def _entry(ws: Workspace, asset: AssetId, version: str) -> LedgerEntry | None:
    made = [entry for entry in ledger.entries(ws.root, str(asset)) if entry.kind == ledger.MATERIALIZATION]
    return next((entry for entry in reversed(made) if entry.materialization.data_version == version), None)


def _measured_on(entry: LedgerEntry) -> str:
    """Held-out images, settings and code of a report: what has to be equal before two numbers are subtracted."""
    wanted = entry.materialization.wanted
    settings = {
        section: {key: value for key, value in body.items() if key not in SHOWN_ONLY}
        for section, body in wanted.params.items()
        if isinstance(body, dict)
    }
    known = {"images": wanted.inputs.get(HELD_OUT), "settings": settings, "code": wanted.code_version}
    return json.dumps(known, sort_keys=True)


def _in_place(ws: Workspace, entry: LedgerEntry) -> dict[str, Any] | None:
    made = entry.materialization
    last = ledger.last_entry(ws.root, made.wanted.asset, made.wanted.partition)
    path: Path | None = ws.root / made.wanted.id.path / METRICS
    if last is None or last.materialization.data_version != made.data_version or path is None or not path.exists():
        path = dvc.cached_file(ws.root, made.dvc_md5, METRICS)
    return None if path is None else _read(path)


def _tracked(tracker: Tracker, entry: LedgerEntry) -> dict[str, Any] | None:
    """The same file among the artifacts of the run that measured it."""
    from mlflow.exceptions import MlflowException

    made = entry.materialization
    try:
        run = made.mlflow_run or tracker.find_asset_run(made.dagster_run, made.wanted.asset, made.wanted.partition)
        if run is None:
            return None
        found = _artifact(tracker, run)
        with tempfile.TemporaryDirectory() as folder:
            return None if found is None else _read(Path(tracker.client.download_artifacts(run, found, folder)))
    except (MlflowException, OSError):
        return None


def _artifact(tracker: Tracker, run: str) -> str | None:
    """Where in a run's artifacts the file stands: at the top, or in a folder there."""
    top = tracker.client.list_artifacts(run)
    inner = [file for one in top if one.is_dir for file in tracker.client.list_artifacts(run, one.path)]
    return next((str(file.path) for file in [*top, *inner] if Path(file.path).name == METRICS), None)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document
