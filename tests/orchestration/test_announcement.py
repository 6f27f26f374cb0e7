"""What MLflow is told of a publication: by the next run where this one died, and once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from data.fail_points import VARIABLE as FAIL_AT
from orchestration.announcement import announcer
from orchestration.graph import AssetId
from orchestration.store import journal, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.staging import staging_dir
from orchestration.tracking import open_tracker, registry
from orchestration.tracking.runs import TAG_DATA_VERSION
from orchestration.workspace import Workspace

Editloom = Callable[..., subprocess.CompletedProcess[str]]
RELEASE = AssetId("attribute_release", "beard")
MAKE = ("run", "--select", RELEASE.asset, "--partition", "beard")


def last(ws: Workspace) -> LedgerEntry:
    entry = ledger.last_entry(ws.root, RELEASE.asset, RELEASE.partition)
    assert entry is not None
    return entry


def versions(ws: Workspace) -> list[str]:
    """Every registered version of the released model."""
    name = json.loads((ws.root / RELEASE.path / "release.json").read_text())["model"]
    found = open_tracker(ws).client.search_model_versions(f"name = '{name}'")
    return sorted(str(version.version) for version in found)


def test_release_that_died_before_it_was_told_is_registered_once_by_the_next_run(
    baseline: Workspace, editloom: Editloom, change_params: Callable[..., None]
) -> None:
    change_params(baseline, {"compute.retries": 0})
    entries_before, jobs_before = len(ledger.entries(baseline.root)), set(baseline.state.glob("runs/*/*.job"))
    killed = editloom(baseline, *MAKE, "--always", **{FAIL_AT: "ledger-written"})
    assert killed.returncode == 1, killed.stdout + killed.stderr
    assert len(ledger.entries(baseline.root)) == entries_before + 1
    assert versions(baseline) == ["1"]
    told = [editloom(baseline, *MAKE) for _ in range(2)]
    assert [done.returncode for done in told] == [0, 0] and "1 reused" in told[0].stdout
    assert len(set(baseline.state.glob("runs/*/*.job")) - jobs_before) == 2  # the killed one, and the gate's
    written = [entry.kind for entry in ledger.entries(baseline.root)[entries_before:] if entry.kind != ledger.REUSE]
    assert written == [ledger.MATERIALIZATION, ledger.RELEASE, ledger.DECISION]
    assert journal.unfinished(baseline.root) == []
    assert versions(baseline) == ["1", "2"]
    assert_told(baseline)


def assert_told(ws: Workspace) -> None:
    """The champion is the entry's own run, and that run bears the data version."""
    tracker, made = open_tracker(ws), last(ws).materialization
    name = json.loads((ws.root / RELEASE.path / "release.json").read_text())["model"]
    found = registry.resolve(tracker, name, registry.CHAMPION)
    assert found is not None and found.version == "2" and found.run_id == made.mlflow_run
    assert tracker.client.get_run(found.run_id).data.tags[TAG_DATA_VERSION] == made.data_version
    registered = json.loads((ws.root / RELEASE.evidence_path / "registered.json").read_text())
    assert registered == {"model": name, "model version": "2"}


def test_publication_without_an_mlflow_run_tells_nobody(workspace: Workspace) -> None:
    """A payload that was published by hand: no tracking database is made for it."""
    wanted = Wanted(
        asset="images",
        partition=None,
        code_version="1",
        params_digest="p",
        params={},
        seed=0,
        inputs={},
        device_class="any",
    )
    with staging_dir(workspace.root, wanted.id) as staged:
        (staged / "a.json").write_text("{}")
        record = PublishRecord(wanted=wanted)
        publish(workspace.root, record, staged, on_published=[announcer(workspace)], commit_dvc=False)
    assert journal.unfinished(workspace.root) == []
    assert not (workspace.state / "mlflow.db").exists()
