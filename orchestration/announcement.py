"""What follows a publication and may be told twice: MLflow's tags, and the registration of a release."""

from __future__ import annotations

import json
from pathlib import Path

from orchestration.graph import AssetId
from orchestration.store.ledger import LedgerEntry
from orchestration.store.publish import OnPublished
from orchestration.store.records import Materialization
from orchestration.tracking import TrackedRun, Tracker, open_tracker
from orchestration.tracking.registry import register
from orchestration.workspace import Workspace

RELEASE_FILE = "release.json"
REGISTERED_FILE = "registered.json"


def announcer(ws: Workspace) -> OnPublished:
    """A listener for `publish` and `recover`: a publication cut off before it was told is told by the next run."""

    def announce(entry: LedgerEntry) -> None:
        made = entry.materialization
        if made.mlflow_run is None:
            return
        tracker = open_tracker(ws)
        run = TrackedRun(tracker.client, made.mlflow_run)
        run.tag(
            {
                "editloom.data_version": made.data_version,
                "editloom.code_version": made.wanted.code_version,
                "editloom.git_commit": made.git_commit or "-",
                "editloom.ledger_entry": str(entry.seq),
            }
        )
        payload = ws.root / made.wanted.id.path
        if (payload / RELEASE_FILE).exists():
            _register(ws, tracker, run, made, payload)

    return announce


def _register(ws: Workspace, tracker: Tracker, run: TrackedRun, made: Materialization, payload: Path) -> None:
    """Register a released model: its own files and those of the release that go with them."""
    release = json.loads((payload / RELEASE_FILE).read_text())
    model = ws.root / AssetId(release["asset"], made.wanted.partition).path
    tags = {"editloom.model": release["model_version"], "editloom.release": made.data_version}
    files = [*sorted(model.iterdir()), *sorted(payload.iterdir())]
    version = register(tracker, run, release["model"], files, tags)
    evidence = ws.root / made.wanted.id.evidence_path
    evidence.mkdir(parents=True, exist_ok=True)
    registered = {"model": release["model"], "model version": version}
    (evidence / REGISTERED_FILE).write_text(json.dumps(registered))
