"""A signed release of the shipped editor in a real MLflow store, without any training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from orchestration.graph import AssetId
from orchestration.signing.registration import register_signed
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import TrackedRun, open_tracker
from orchestration.workspace import Workspace
from tests.orchestration.published import put

ATTRIBUTE = "beard"
EDITOR, RELEASE = AssetId("attribute_editor", ATTRIBUTE), AssetId("attribute_release", ATTRIBUTE)
SHIPPED = Path(__file__).parents[2] / "shipped_editor"


def model_name(ws: Workspace) -> str:
    """What the editor is registered as."""
    return ws.params().attribute_release.model_name(ATTRIBUTE)


def release(ws: Workspace) -> tuple[LedgerEntry, TrackedRun]:
    """Publish the shipped editor and another release of it, sign and register that; it is the candidate."""
    tracker, number = open_tracker(ws), len(ledger.entries(ws.root))
    run = tracker.asset_run(f"run {number}", tracker.parent_run("parent", "parent"), RELEASE.asset, ATTRIBUTE)
    editor = put(ws, EDITOR, {}, lambda folder: shutil.copytree(SHIPPED, folder, dirs_exist_ok=True))
    document = json.dumps({"model": model_name(ws), "asset": EDITOR.asset, "number": number})
    inputs = {str(EDITOR): editor}
    put(ws, RELEASE, inputs, lambda folder: (folder / "release.json").write_text(document), mlflow_run=run.run_id)
    entry = ledger.last_entry(ws.root, RELEASE.asset, ATTRIBUTE)
    assert entry is not None
    tell(ws, entry, run)
    return entry, run


def tell(ws: Workspace, entry: LedgerEntry, run: TrackedRun) -> str:
    """Sign and register a release once more; returns the version."""
    files = [*sorted((ws.root / EDITOR.path).iterdir()), *sorted((ws.root / RELEASE.path).iterdir())]
    return register_signed(ws, open_tracker(ws), run, entry, model_name(ws), files, {})


def registered(ws: Workspace, run: TrackedRun) -> Path:
    """Where the tracking server keeps the model files of a run."""
    return next(ws.mlflow_artifacts.glob(f"{run.run_id}/**/model"))


def flip(path: Path) -> None:
    """Change the last bit of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
