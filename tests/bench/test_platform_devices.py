"""Devices on one host: how well leases fill them, that none has two holders, how soon a killed holder's come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock, Timeout

from orchestration.compute.admission import POOL
from orchestration.compute.reaper import Reaping
from orchestration.graph import AssetId
from orchestration.results import Bar, Figure
from orchestration.workspace import Workspace
from tests.bench.list_schedule import Job, draw_jobs, makespan_s
from tests.orchestration.compute.device_log import most_holders, read_log
from tests.orchestration.compute.held_devices import (  # noqa: F401 – fixtures
    Begin,
    Hold,
    arrive_fixture,
    begin_fixture,
    devices_fixture,
    hold_fixture,
)

DEVICES, RECLAIM_BAR_S = 4, 15.0
STEPS, SEED, SHORTEST_S, LONGEST_S = 16, 6, 10.0, 30.0
SCRIPT = Path(__file__).parents[1] / "orchestration" / "compute" / "device_steps.py"


@pytest.mark.bench
def test_leases_fill_the_devices_as_a_list_schedule_does(
    devices: Callable[[int], Workspace], tmp_path: Path, platform_measured: Callable[..., None]
) -> None:
    ws, log, wanted = devices(DEVICES), tmp_path / "devices.log", tmp_path / "steps.json"
    jobs = draw_jobs(STEPS, SEED, SHORTEST_S, LONGEST_S)
    wanted.write_text(json.dumps({"log": str(log), "steps": [(job.devices, job.seconds) for job in jobs]}))
    command = [sys.executable, str(SCRIPT), str(ws.root)]
    known = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "DEVICE_STEPS": str(wanted)}
    done = subprocess.run(command, env=known, cwd=ws.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    held = read_log(log)
    assert sorted(len(one.devices) for one in held) == sorted(job.devices for job in jobs)
    took_s = max(one.end for one in held) - min(one.begin for one in held)
    # As long as each was really held: the steps' own clocks, in the order in which they were drawn.
    ideal_s = makespan_s(
        [Job(len(one.devices), one.seconds) for one in sorted(held, key=lambda one: one.name)], DEVICES
    )
    busy = sum(len(one.devices) * one.seconds for one in held) / (DEVICES * took_s)
    twos = sum(len(one.devices) == 2 for one in held)
    what = f"{len(held)} steps, {twos} of them over two devices, of {SHORTEST_S:.0f} to {LONGEST_S:.0f} s"
    note = f"{what}; real Dagster processes; {took_s:.0f} s, a list schedule {ideal_s:.0f} s; devices busy {busy:.0%}"
    platform_measured(
        Figure(
            "device time of a list schedule's, one host", ideal_s / took_s, "share", bar=Bar(at_least=0.9), note=note
        ),
        Figure("holders of a device at once, one host", most_holders(held), "steps", bar=Bar(at_most=1), note=what),
    )


@pytest.mark.bench
def test_what_a_killed_holder_had_is_soon_back(
    devices: Callable[[int], Workspace], begin: Begin, hold: Hold, platform_measured: Callable[..., None]
) -> None:
    ws = devices(1)
    dead = begin("beard")
    waiter = hold("waiter")
    lock = ws.root / ".editloom" / "locks" / f"build-{AssetId('edit_pairs', 'beard').stage}.lock"
    with pytest.raises(Timeout):
        FileLock(lock).acquire(timeout=2)
    with ws.dagster_instance() as instance:
        dead.process.kill()
        killed = time.monotonic()
        with FileLock(lock, timeout=60):
            lock_s = time.monotonic() - killed
        waiter.said()
        lease_s = time.monotonic() - killed
        slot_s = _until_free(ws, instance, dead.run, killed)
    why = "after kill -9 of who held it, while another one waits"
    platform_measured(
        Figure("lock back", lock_s, "s", bar=Bar(at_most=RECLAIM_BAR_S), note=why),
        Figure("lease back", lease_s, "s", bar=Bar(at_most=RECLAIM_BAR_S), note=why),
        Figure(
            "slot back",
            slot_s,
            "s",
            bar=Bar(at_most=RECLAIM_BAR_S),
            note=f"{why}, with MLflow's and Dagster's run ended",
        ),
    )


def _until_free(ws: Workspace, instance: dg.DagsterInstance, run: str, killed: float) -> float:
    """Seconds until Dagster's pool has the slot back, while what `editloom run` does meanwhile goes on."""
    reaping = Reaping(ws)
    while run in instance.event_log_storage.get_concurrency_info(POOL).active_run_ids:
        reaping.tick()
        time.sleep(0.3)
        assert time.monotonic() - killed < 120
    return time.monotonic() - killed
