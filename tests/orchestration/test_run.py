"""`editloom run`: what stands is reused, what was cut off goes on, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from data.fail_points import VARIABLE as FAIL_AT
from orchestration import dvc_yaml
from orchestration.graph import GRAPH, AssetId, downstream, expand
from orchestration.params import parse_params
from orchestration.plan import plan
from orchestration.run import exclusive
from orchestration.store import ledger
from orchestration.tracking import open_tracker
from orchestration.worker import TITLE
from orchestration.workspace import Workspace

Editloom = Callable[..., subprocess.CompletedProcess[str]]
ChangeParams = Callable[[Workspace, dict[str, object]], None]
Start = Callable[..., "subprocess.Popen[bytes]"]

NETWORK = AssetId("feature_network", "beard")
TRAIN = ("run", "--select", NETWORK.asset, "--partition", "beard")
# A checkpoint after every iteration. It changes the settings, so that the network is made again, and no byte of it.
CHECKPOINTS = {"attributes.beard.feature_network.checkpoint_every_s": 0.0}
# A bound on how long a slow machine may take to load its libraries, or to end an iteration.
PATIENCE_S = 120.0
REUSE_S = 10.0


@pytest.fixture
def start(baseline: Workspace) -> Iterator[Start]:
    """Start `editloom ARGUMENTS`, what it says going to `said.log`; killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestration.cli", *arguments]
        with (baseline.root / "said.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_hear_ctrl_c))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def _hear_ctrl_c() -> None:
    """Even where the shell that began the tests had it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def said(ws: Workspace) -> str:
    return (ws.root / "said.log").read_text()


def wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.01)


def jobs(ws: Workspace) -> set[Path]:
    """What workers were started for, in every run so far."""
    return set(ws.state.glob("runs/*/*.job"))


def statuses(ws: Workspace) -> set[Path]:
    """What steps said of themselves, in every run so far."""
    return set(ws.state.glob("runs/*/status/*.json"))


def workers(ws: Workspace) -> list[int]:
    """Processes that work for this workspace now."""
    wanted, place = TITLE.encode(), os.fsencode(ws.root)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted in command and place in command:
            found.append(int(folder.name))
    return found


def checkpoints(ws: Workspace) -> list[Path]:
    return sorted(ws.workdir(NETWORK.asset, NETWORK.partition).glob("*/checkpoints/*.safetensors"))


def version_of(ws: Workspace, asset_id: AssetId) -> str:
    entry = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
    assert entry is not None
    return entry.materialization.data_version


def actions(ws: Workspace, changes: dict[str, object] | None = None) -> dict[AssetId, str]:
    """What a plan with these dotted keys set would do to each id."""
    document = yaml.safe_load(ws.params_file.read_text())
    for dotted, value in (changes or {}).items():
        *path, last = dotted.split(".")
        section = document
        for key in path:
            section = section.setdefault(key, {})
        section[last] = value
    params = parse_params(document)
    return {item.id: item.action for item in plan(ws, params, expand(tuple(params.attributes)))}


def test_second_run_reuses_everything_and_starts_no_worker(baseline: Workspace, editloom: Editloom) -> None:
    jobs_before, entries_before = jobs(baseline), len(ledger.entries(baseline.root))
    busy = os.getloadavg()[0] > (os.cpu_count() or 1) + 1  # this suite alone keeps each core busy
    started = time.monotonic()
    done = editloom(baseline, "run")
    seconds = time.monotonic() - started
    assert done.returncode == 0 and f"{len(actions(baseline))} reused" in done.stdout, done.stdout
    assert jobs(baseline) == jobs_before
    told = ledger.entries(baseline.root)[entries_before:]
    assert {entry.kind for entry in told} == {ledger.REUSE}
    assert sorted(entry.subject for entry in told) == sorted(map(str, actions(baseline)))
    assert busy or seconds < REUSE_S


def test_new_attribute_runs_only_its_own_chain(
    baseline: Workspace, editloom: Editloom, change_params: ChangeParams
) -> None:
    jobs_before, entries_before = jobs(baseline), len(ledger.entries(baseline.root))
    change_params(baseline, {"attributes.glasses": {}})
    planned = actions(baseline)
    assert {i for i, action in planned.items() if action != "reuse"} == {i for i in planned if i.partition == "glasses"}
    done = editloom(baseline, "run", "--select", "+attribute_images,+original_network")
    assert done.returncode == 0, done.stdout + done.stderr
    states = {line.split()[1]: line.split()[3] for line in done.stdout.splitlines() if line.startswith("│")}
    assert {name for name, state in states.items() if state != "reused"} == {"attribute_images[glasses]"}
    assert {"images", "original_network", "attribute_images[beard]"} < states.keys()
    assert [job.name for job in jobs(baseline) - jobs_before] == ["glasses.job"]
    told = ledger.entries(baseline.root)[entries_before:]
    made = [entry.subject for entry in told if entry.kind == ledger.MATERIALIZATION]
    assert made == ["attribute_images[glasses]"]
    assert {entry.kind for entry in told} == {ledger.MATERIALIZATION, ledger.REUSE}
    dvc_yaml.check(baseline.root, baseline.params())


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"compute.processes": 1, "compute.devices": 1, "compute.memory_gb": 8}, set()),
        ({"attribute_report.bootstrap": 60}, {"attribute_report", "attribute_release"}),
        ({"edit_pairs.mask.dilate_px": 2}, {"edit_pairs", "fusion_report"}),
        ({"feature_network.lr": 0.001}, {"feature_network"}),
        ({"original_network.kimg": 0.2}, {"original_network"}),
        ({"judge_images.subjects": 17}, {"judge_images"}),
        ({"images.renderer.count": 301}, {"images"}),
        ({"seed": 1}, {name for name, node in GRAPH.items() if node.seeded}),
    ],
    ids=lambda value: next(iter(value), "none") if isinstance(value, dict) else "",
)
def test_changed_setting_runs_only_what_depends_on_it(
    finished: Workspace, changes: dict[str, object], again: set[str]
) -> None:
    perhaps = {name for asset in again for name in downstream(asset)} - again
    for asset_id, action in actions(finished, changes).items():
        expected = "run" if asset_id.asset in again else "maybe" if asset_id.asset in perhaps else "reuse"
        assert action == expected, asset_id


def test_setting_of_one_attribute_leaves_the_others_alone(finished: Workspace) -> None:
    changed = actions(finished, {"attributes.beard.attribute_editor": {"batch_size": 8}})
    again = {str(i): action for i, action in changed.items() if action != "reuse"}
    assert again == {
        "attribute_editor[beard]": "run",
        "attribute_report[beard]": "maybe",
        "attribute_release[beard]": "maybe",
    }


def test_killed_worker_goes_on_to_the_same_bytes(
    baseline: Workspace, editloom: Editloom, change_params: ChangeParams
) -> None:
    """Killed in the middle of training, right after its first picture; the seed is the baseline's."""
    undisturbed, entries_before = version_of(baseline, NETWORK), len(ledger.entries(baseline.root))
    change_params(baseline, {**CHECKPOINTS, "compute.retries": 0})
    killed = editloom(baseline, *TRAIN, **{FAIL_AT: "picture-logged"})
    assert killed.returncode == 1, killed.stdout + killed.stderr
    assert f"{NETWORK} failed: its process was cut off" in killed.stdout and "Logs: " in killed.stdout
    assert checkpoints(baseline), "the killed training left nothing to go on from"
    assert len(ledger.entries(baseline.root)) == entries_before
    again = editloom(baseline, *TRAIN)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(ledger.entries(baseline.root)) == entries_before + 1
    assert version_of(baseline, NETWORK) == undisturbed
    assert checkpoints(baseline) == []
    assert set(actions(baseline).values()) == {"reuse"}


def test_ctrl_c_stops_cleanly_and_the_next_run_completes(
    baseline: Workspace, editloom: Editloom, change_params: ChangeParams, start: Start
) -> None:
    undisturbed, entries_before = version_of(baseline, NETWORK), len(ledger.entries(baseline.root))
    change_params(baseline, CHECKPOINTS)
    run = start(*TRAIN)
    wait_for(lambda: bool(checkpoints(baseline)) or run.poll() is not None, "training")
    run.send_signal(signal.SIGINT)
    assert run.wait(PATIENCE_S) == 130, said(baseline)
    assert workers(baseline) == []
    assert "Stopping" in said(baseline) and "1 stopped" in said(baseline) and "Traceback" not in said(baseline)
    assert len(ledger.entries(baseline.root)) == entries_before
    client, experiment = (tracker := open_tracker(baseline)).client, tracker.experiment_id
    assert client.search_runs([experiment], "attributes.status = 'RUNNING'") == []
    again = editloom(baseline, *TRAIN)
    assert again.returncode == 0, again.stdout + again.stderr
    assert version_of(baseline, NETWORK) == undisturbed


def test_killed_run_takes_its_workers_along(baseline: Workspace, change_params: ChangeParams, start: Start) -> None:
    """Otherwise the next run would train beside a worker of this one, in the same directory."""
    change_params(baseline, CHECKPOINTS)
    before = statuses(baseline)
    run = start(*TRAIN)
    wait_for(lambda: statuses(baseline) != before or run.poll() is not None, "a worker")
    assert len(workers(baseline)) == 1, said(baseline)
    run.kill()
    wait_for(lambda: workers(baseline) == [], "the worker's end")


def test_second_run_at_once_says_who_holds_the_workspace_and_waits(baseline: Workspace, start: Start) -> None:
    with exclusive(baseline, Console(file=StringIO())):
        second = start("run")
        wait_for(lambda: "Waiting" in said(baseline) or second.poll() is not None, "a word")
        assert f"held by process {os.getpid()}" in said(baseline)
        assert second.poll() is None
    assert second.wait(PATIENCE_S) == 0
    assert "reused" in said(baseline)
