"""The spool: sending twice changes nothing, a full disk stops nobody, and what cannot be sent is said."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from data.errors import UserError
from orchestration.cli import app
from orchestration.graph import AssetId
from orchestration.tracking import Tracker, open_tracker
from orchestration.tracking.replay import replay, require_sent, unsent
from orchestration.tracking.sender import sender_of
from orchestration.tracking.server import EMBEDDED
from orchestration.tracking.spool import Spool
from orchestration.tracking.spool_folder import HEADER, RECORDS, Header, folders
from orchestration.tracking.spooled_run import SpooledRun, begin_run, run_told
from orchestration.workspace import Workspace

ASSET, DAGSTER_RUN = AssetId("edit_pairs", "beard"), "dagster-run"
# Nobody listens there.
AWAY = "http://127.0.0.1:9"
PICTURE = np.zeros((8, 12, 3), np.uint8)


def tell_everything(run: SpooledRun, folder: Path) -> None:
    """One of each kind of thing that a step tells."""
    (folder / "card.md").write_text("a card")
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text("<p>report</p>")
    run.params({"edit_pairs": {"count": 4}})
    for step in range(5):
        run.metrics({"loss": 1 / (step + 1), "rate": 2.0}, step)
    run.image("faces", PICTURE, 2)
    run.dataset("aligned_images", "ab" * 32, "artifacts/aligned_images", "input", {"images": 3})
    run.table("metrics_table.json", {"metric": ["psnr", "lpips"], "value": [31.5, None]})
    run.artifact(folder / "card.md", "evidence")
    run.artifact(folder / "report", "report")
    run.tag({"editloom.note": "told"})


@pytest.fixture
def left(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spool that a dead process left for the workspace's own database, outside of the spool's place."""
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", AWAY)
        run = begin_run(workspace, DAGSTER_RUN, ASSET, "parent")
        tell_everything(run, tmp_path)
        assert run.run_id is None
        run.finish(succeeded=True)
        sender_of(workspace).leave()  # its server is away: it would send to the one that is set next
    (folder,) = folders(workspace)
    copy = tmp_path / "left"
    shutil.copytree(folder, copy)
    header = Header.model_validate_json((copy / HEADER).read_text())
    assert header.server == AWAY
    (copy / HEADER).write_text(header.model_copy(update={"server": EMBEDDED}).model_dump_json())
    return copy


def put_back(ws: Workspace, left: Path, name: str = "left") -> Path:
    return Path(shutil.copytree(left, ws.state / "spool" / name))


def state(tracker: Tracker) -> dict[str, Any]:
    """All that MLflow has of the run; there is only one."""
    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`editloom.role` = 'asset'")
    history = {
        key: [(m.step, m.timestamp, m.value) for m in tracker.client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }
    files = sorted(str(path) for path in Path(run.info.artifact_uri.removeprefix("file://")).rglob("*"))
    table = Path(run.info.artifact_uri.removeprefix("file://"), "metrics_table.json").read_text()
    inputs = [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs]
    return {"run": run.info.run_id, "history": history, "files": files, "table": table, "inputs": inputs,
            "tags": run.data.tags, "params": run.data.params, "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time)}  # fmt: skip


def test_what_is_sent_twice_stands_once(workspace: Workspace, left: Path) -> None:
    """The process died after it sent all, and before it marked any of it."""
    put_back(workspace, left)
    assert replay(workspace).sent > 0
    once = state(open_tracker(workspace))
    assert [step for step, _, _ in once["history"]["loss"]] == list(range(5))
    assert sum(name.endswith(".png") for name in once["files"]) == 1 and once["status"] == "FINISHED"
    assert once["inputs"] == [("aligned_images", ("ab" * 32)[:36])] and "31.5" in once["table"]
    put_back(workspace, left)
    assert replay(workspace).sent > 0
    assert state(open_tracker(workspace)) == once


def test_step_that_goes_on_tells_no_step_twice(workspace: Workspace, left: Path) -> None:
    """A retry goes on from its checkpoint: what it tells again has other times, and the same values."""
    put_back(workspace, left)
    replay(workspace)
    tracker = open_tracker(workspace)
    before = state(tracker)["history"]["loss"]
    run = begin_run(workspace, DAGSTER_RUN, ASSET, "parent")
    for step in range(3, 7):
        run.metrics({"loss": 1 / (step + 1)}, step)
    run.image("faces", PICTURE, 2)
    run.finish(succeeded=True)
    after = state(tracker)
    assert after["history"]["loss"][:5] == before and [s for s, _, _ in after["history"]["loss"]] == list(range(7))
    assert sum(name.endswith(".png") for name in after["files"]) == 1


def test_afterword_neither_opens_the_run_again_nor_moves_its_end(workspace: Workspace, left: Path) -> None:
    put_back(workspace, left)
    replay(workspace)
    tracker = open_tracker(workspace)
    before = state(tracker)
    run, at_work = run_told(workspace, ASSET, DAGSTER_RUN, None)
    run.tag({"editloom.ledger_entry": "7"})
    run.finish(succeeded=True)
    after = state(tracker)
    assert not at_work and after["tags"]["editloom.ledger_entry"] == "7"
    assert (after["status"], after["times"], after["run"]) == (before["status"], before["times"], before["run"])


def test_record_that_the_server_refuses_takes_no_other_along(workspace: Workspace) -> None:
    run = begin_run(workspace, DAGSTER_RUN, ASSET, "parent")
    run.metrics({"loss": 1.0}, 0)
    run.metrics({"what?!": 1.0}, 1)
    run.metrics({"loss": 0.5}, 2)
    run.finish(succeeded=True)
    tracker = open_tracker(workspace)
    found = tracker.client.get_run(str(tracker.find_asset_run(DAGSTER_RUN, ASSET.asset, ASSET.partition)))
    assert [m.step for m in tracker.client.get_metric_history(found.info.run_id, "loss")] == [0, 2]
    assert found.info.status == "FINISHED" and folders(workspace) == []


def test_spool_of_another_server_waits_for_it_and_is_told(workspace: Workspace, left: Path) -> None:
    place = put_back(workspace, left)
    header = Header.model_validate_json((place / HEADER).read_text())
    (place / HEADER).write_text(header.model_copy(update={"server": "https://elsewhere:5000"}).model_dump_json())
    found = replay(workspace)
    assert found.sent == 0 and found.elsewhere["https://elsewhere:5000"] > 0 and place.exists()
    said = CliRunner().invoke(app, ["track", "replay", "--dry-run"]).output
    assert "wait for https://elsewhere:5000" in said and "MLFLOW_TRACKING_URI" in said
    with pytest.raises(UserError, match="still holds what MLflow was not told"):  # a purge would miss its pictures
        require_sent(workspace)


def test_folder_that_is_no_spool_is_named_and_left_alone(workspace: Workspace, left: Path) -> None:
    broken, good = put_back(workspace, left, "broken"), put_back(workspace, left, "good")
    (broken / HEADER).write_text("{")
    found = replay(workspace)
    assert found.sent > 0 and not good.exists() and broken.exists()
    assert len(found.unreadable) == 1 and str(broken) in found.unreadable[0]


def test_line_that_cannot_be_read_is_passed_over(workspace: Workspace, left: Path) -> None:
    place = put_back(workspace, left)
    lines = (place / RECORDS).read_bytes().splitlines(keepends=True)
    (place / RECORDS).write_bytes(b"".join([lines[0], b"\0\0\0\n", *lines[1:]]))
    replay(workspace)
    assert [step for step, _, _ in state(open_tracker(workspace))["history"]["loss"]] == list(range(5))
    assert unsent(workspace).left == 0 and not place.exists()


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this size: a write beyond it fails as on a full disk."""
    known = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, known[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, known)


def test_full_disk_loses_no_metric_and_stops_nobody(workspace: Workspace) -> None:
    header = Header(server=AWAY, dagster_run=DAGSTER_RUN, asset="images", partition=None, parent="p", at_ms=1)
    spool = Spool.create(workspace, header)
    with room_for(16_384):
        for step in range(400):
            spool.append("metrics", {"step": step, "values": {"loss": 1.0}})
        spool.append("artifact", {"name": "a", "folder": None}, lambda place: (place / "a").write_bytes(b"." * 20_000))
        written = (spool.folder / RECORDS).read_bytes()
        assert len(written) <= 16_384 and written.endswith(b"\n") and not spool.drained
    spool.append("metrics", {"step": 400, "values": {"loss": 1.0}})
    told = [json.loads(line)["body"] for line in (spool.folder / RECORDS).read_bytes().splitlines()]
    assert [body["step"] for body in told] == list(range(401))  # the artifact alone is lost, and the log says so
    spool.remove()
