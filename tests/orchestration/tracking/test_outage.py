"""The tracking server goes away and comes back: nobody waits for it, and it has everything once in the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.graph import AssetId
from orchestration.store import ledger
from orchestration.tracking import open_tracker
from orchestration.tracking.runs import TAG_DAGSTER_RUN, TAG_DATA_VERSION, TAG_PARENT
from orchestration.tracking.spool_folder import RECORDS, folders
from orchestration.tracking.spooled_run import begin_run
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.tracking.server import Server, free_port
from tests.orchestration.tracking.trainer import ASSET, IMAGE_EVERY, Told, train, while_it

# What its fixtures start is dear: one worker of the test session takes them all.
pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("outage")]
BEFORE, KILLED_AFTER, OUTAGE_S = 60, 90, 3.0
LONGEST_WAIT_S = 2.0
# 1.5 s of waiting, and what a busy machine adds to it.
FINISH_S = 4.0
PATIENCE_S = 240.0
CUT_OFF = b'{"n":999,"kind":"metr'
RUN, KILLED_RUN = "dagster-run-that-ends", "dagster-run-that-is-killed"
MADE = AssetId("images")


@dataclass
class Outage:
    """What was told before and during the outage, and what came of it."""

    ws: Workspace
    server: Server
    told: Told = field(default_factory=dict)
    longest_s: float = 0.0
    finish_s: float = 0.0
    said: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def client(self) -> MlflowClient:
        return open_tracker(self.ws).client

    def run(self, dagster_run: str, asset: AssetId) -> Run:
        found = open_tracker(self.ws).find_asset_run(dagster_run, asset.asset, asset.partition)
        assert found is not None
        return self.client().get_run(found)


def editloom(outage: Outage, *arguments: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, VARIABLE: str(outage.ws.root), "COLUMNS": "250"}
    command = [sys.executable, "-m", "orchestration.cli", *arguments]
    return subprocess.run(command, cwd=outage.ws.root, env=known, capture_output=True, text=True)


def go_through(outage: Outage) -> None:
    """A training before, during and after an outage; one that is killed in it, and an `editloom run` in it."""
    outage.server.start()
    run = begin_run(outage.ws, RUN, ASSET, "ends")
    outage.longest_s = train(run, iter(range(BEFORE)), outage.told)
    assert run.run_id is not None and wait_for(run.settle)
    outage.server.kill()
    killed = trainer(outage)
    until = time.monotonic() + OUTAGE_S
    steps = while_it(lambda: time.monotonic() < until or killed.poll() is None, BEFORE, 0.01)
    outage.longest_s = max(outage.longest_s, train(run, steps, outage.told))
    cut_off(outage.ws)
    outage.said["run"] = editloom(outage, "run", "--select", MADE.asset)
    outage.said["away"] = editloom(outage, "track", "replay")
    begin = time.perf_counter()
    run.finish(succeeded=True)
    outage.finish_s = time.perf_counter() - begin
    outage.server.start()
    assert wait_for(run.settle)
    outage.said["replay"] = editloom(outage, "track", "replay")
    outage.said["again"] = editloom(outage, "track", "replay")


def trainer(outage: Outage) -> subprocess.Popen[bytes]:
    """A training whose run begins while the server is away, and which is killed before it is back."""
    command = [sys.executable, str(Path(__file__).with_name("trainer.py")), str(outage.ws.root), KILLED_RUN]
    return subprocess.Popen([*command, str(KILLED_AFTER)])


def cut_off(ws: Workspace) -> None:
    """The kill came in the middle of a line."""
    left = [one for one in folders(ws) if KILLED_RUN in (one / "run.json").read_text()]
    with (left[0] / RECORDS).open("ab") as file:
        file.write(CUT_OFF)


def wait_for(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def outage(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    root = tmp_path_factory.mktemp("outage") / "ws"
    shutil.copytree(empty_workspace, root, symlinks=True)
    server = Server(root.parent / "server", free_port())
    with pytest.MonkeyPatch.context() as patch:
        try:
            started = Outage(Workspace.at(root), server)
            patch.setenv("MLFLOW_TRACKING_URI", server.url)
            go_through(started)
            yield started
        finally:
            server.kill()


def points(outage: Outage, run: Run) -> list[tuple[int, int, float]]:
    """Step, time and value of each point that the server has, as often as it has it."""
    history = outage.client().get_metric_history(run.info.run_id, "loss")
    return sorted((metric.step, metric.timestamp, metric.value) for metric in history)


def pictures(outage: Outage, run: Run) -> list[str]:
    """How the names of the whole pictures begin, as often as there are any."""
    found = [Path(file.path).name for file in outage.client().list_artifacts(run.info.run_id, "images")]
    return sorted(name.partition("+timestamp")[0] for name in found if name.endswith(".png"))


def test_training_never_waits_for_the_server(outage: Outage) -> None:
    assert outage.longest_s <= LONGEST_WAIT_S
    assert outage.finish_s <= FINISH_S


def test_every_point_arrives_once_with_its_own_time(outage: Outage) -> None:
    run = outage.run(RUN, ASSET)
    assert len(outage.told) > BEFORE
    assert points(outage, run) == sorted((step, at, value) for step, (at, value) in outage.told.items())
    assert run.info.status == "FINISHED"
    assert outage.client().get_run(run.data.tags[TAG_PARENT]).info.status == "FINISHED"


def test_every_picture_arrives_once(outage: Outage) -> None:
    wanted = sorted(f"faces+step+{step}" for step in outage.told if step % IMAGE_EVERY == 0)
    assert pictures(outage, outage.run(RUN, ASSET)) == wanted


def test_run_that_began_and_was_killed_in_the_outage_is_told_by_another_process(outage: Outage) -> None:
    run = outage.run(KILLED_RUN, ASSET)
    told = points(outage, run)
    assert [step for step, _, _ in told] == list(range(KILLED_AFTER))
    assert run.info.status == "KILLED"
    # Its own times, not those of the replay: it began before its first point, and ended with its last.
    assert run.info.start_time <= told[0][1] and run.info.end_time == told[-1][1]
    assert run.data.params == {"feature_network.kimg": "1"}
    assert pictures(outage, run) == sorted(f"faces+step+{s}" for s in range(0, KILLED_AFTER, IMAGE_EVERY))


def test_editloom_run_goes_on_without_the_server_and_says_so(outage: Outage) -> None:
    done = outage.said["run"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does not answer" in done.stdout and "wait in .editloom/spool" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_ledger_names_no_run_that_was_not_there_and_the_run_names_the_entry(outage: Outage) -> None:
    entry = ledger.last_entry(outage.ws.root, MADE.asset, None)
    assert entry is not None and entry.materialization.mlflow_run is None
    run = outage.run(str(entry.materialization.dagster_run), MADE)
    assert run.data.tags[TAG_DATA_VERSION] == entry.materialization.data_version
    assert run.data.tags["editloom.ledger_entry"] == str(entry.seq)
    assert run.data.tags[TAG_DAGSTER_RUN] == entry.materialization.dagster_run
    assert run.info.status == "FINISHED" and run.data.params and run.data.metrics


def test_replay_says_what_it_did_and_leaves_nothing(outage: Outage) -> None:
    away, sent, again = (outage.said[name] for name in ("away", "replay", "again"))
    assert away.returncode == 2 and "does not answer" in away.stderr and "Traceback" not in away.stderr
    assert sent.returncode == 0 and "MLflow was told" in sent.stdout, sent.stdout + sent.stderr
    assert again.returncode == 0 and "Nothing waits" in again.stdout
    assert list((outage.ws.state / "spool").iterdir()) == []
