"""What a killed process held is given back, and nothing that lives is touched. Real Dagster runs, MLflow, processes."""

from __future__ import annotations

import os
import signal
import time

import dagster as dg
import psutil
import pytest

from orchestration.compute.admission import POOL
from orchestration.compute.build_lock import building
from orchestration.compute.inventory import inventory
from orchestration.compute.processes import registrations
from orchestration.compute.reaper import GONE, Reaped, reap
from orchestration.compute.tickets import Queue
from orchestration.graph import AssetId
from orchestration.progress import read_statuses
from orchestration.tracking import open_tracker
from orchestration.workspace import Workspace
from tests.orchestration.compute.held_devices import LONG_S, Begin


def kill(pid: int) -> None:
    """Kill it, and wait until it is gone (or only its parent's to bury)."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + LONG_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def statuses(ws: Workspace) -> dict[str, str]:
    with ws.dagster_instance() as instance:
        return {run.run_id: run.status.value for run in instance.get_runs()}


def slots(ws: Workspace) -> set[str]:
    """Runs that hold a slot of the pool, or stand in line for one."""
    with ws.dagster_instance() as instance:
        pool = instance.event_log_storage.get_concurrency_info(POOL)
        return pool.active_run_ids | {step.run_id for step in pool.pending_steps}


def tracked(ws: Workspace, run: str) -> set[str]:
    tracker = open_tracker(ws)
    query = f"tags.`editloom.dagster_run` = '{run}'"
    return {found.info.status for found in tracker.client.search_runs([tracker.experiment_id], query)}


def holders(ws: Workspace) -> set[str]:
    return {ticket.run for ticket in Queue.of(ws, inventory(ws.params())).tickets()}


def test_everything_of_a_killed_process_is_given_back_and_nothing_of_a_living_one(
    workspace: Workspace, begin: Begin
) -> None:
    dead, living = begin("beard"), begin("short_hair")
    assert slots(workspace) == holders(workspace) == {dead.run, living.run}
    (workspace.state / "run.holder").write_text("process 1")
    kill(dead.pid)
    dead.process.wait(LONG_S)
    with building(workspace, AssetId("edit_pairs", "beard"), "next", lambda: True, str):  # waiting would raise
        pass
    found = reap(workspace)
    assert found.runs == (dead.run,) and found.tickets == ("edit_pairs[beard]",)
    assert statuses(workspace) == {dead.run: "FAILURE", living.run: "STARTED"}
    assert slots(workspace) == holders(workspace) == {living.run}
    assert tracked(workspace, dead.run) == {"KILLED"} and tracked(workspace, living.run) == {"RUNNING"}
    said = read_statuses(workspace.state / "runs" / dead.run / "status")["edit_pairs[beard]"]
    assert (said.state, said.error) == ("failed", GONE)
    assert {record.run for record in registrations(workspace) if record.role == "step"} == {living.run}
    assert not (workspace.state / "run.holder").exists()
    assert reap(workspace, thorough=True) == Reaped()


def test_run_whose_step_died_lives_as_long_as_who_executes_it(workspace: Workspace, begin: Begin) -> None:
    """Under Dagster's page a step is a child: when it dies, its parent retries it or ends the run itself."""
    step = begin("beard", "children")
    assert step.pid != step.process.pid
    step.process.send_signal(signal.SIGSTOP)  # so that it does not see the death of its child
    kill(step.pid)
    assert reap(workspace).runs == ()
    assert statuses(workspace) == {step.run: "STARTED"}
    kill(step.process.pid)
    step.process.wait(LONG_S)
    assert reap(workspace).runs == (step.run,)
    assert statuses(workspace) == {step.run: "FAILURE"}
    assert slots(workspace) == set()


def test_run_being_cancelled_is_cancelled_and_mlflow_that_is_away_is_told_later(
    workspace: Workspace, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = begin("beard")
    with workspace.dagster_instance() as instance:
        run = instance.get_run_by_id(step.run)
        assert run is not None
        instance.report_run_canceling(run)
    kill(step.pid)
    step.process.wait(LONG_S)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert reap(workspace).runs == (step.run,)
    assert statuses(workspace) == {step.run: "CANCELED"}
    assert slots(workspace) == holders(workspace) == set()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert reap(workspace).tracked == 2
    assert tracked(workspace, step.run) == {"KILLED"}
    assert registrations(workspace) == []


def test_runs_that_nobody_here_executes_are_left_alone(workspace: Workspace) -> None:
    """Without a record, a tag or a code server nothing says that their process is dead."""
    with workspace.dagster_instance() as instance:
        made = instance.create_run_for_job(dg.GraphDefinition("elsewhere").to_job(), status=dg.DagsterRunStatus.STARTED)
    assert reap(workspace, thorough=True) == Reaped()
    assert statuses(workspace) == {made.run_id: "STARTED"}
