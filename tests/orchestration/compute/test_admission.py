"""Dagster lets in every device step, its lease decides, and two front ends never build the same asset."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestration.compute.admission import POOL
from orchestration.compute.build_lock import building
from orchestration.graph import AssetId
from orchestration.workspace import DAGSTER_YAML, EARLIER_DAGSTER_YAML, Workspace
from tests.orchestration.compute.held_devices import Arrive, Hold
from training.interruption import Interrupted


def limit(ws: Workspace) -> int:
    with ws.dagster_instance() as instance:
        return instance.event_log_storage.get_concurrency_info(POOL).slot_count


def test_pool_has_a_slot_for_each_device_step(workspace: Workspace, change_params: Callable[..., None]) -> None:
    shared, each = 3, 6  # judges, the original network, its report; all of an attribute but its images
    assert limit(workspace) == shared + each * len(workspace.params().attributes)
    change_params(workspace, {"attributes": {"beard": {}}, "compute.devices": 1})
    assert limit(workspace) == shared + each


@pytest.mark.parametrize("how", ["in-process", "children"])
def test_runs_that_wait_stand_in_line_and_leave_the_processors_to_who_computes(
    devices: Callable[[int], Workspace], hold: Hold, arrive: Arrive, waiting: Callable[..., None], how: str
) -> None:
    workspace, names = devices(1), ["a", "b", "c"]
    hold("edit_pairs[z]").said()
    runs = []
    for number, name in enumerate(names, 1):
        runs.append(psutil.Process(arrive(name, how).pid))
        waiting(*(f"edit_pairs[{one}]" for one in names[:number]))
    before, seconds = [used(run) for run in runs], 4.0
    time.sleep(seconds)
    shares = [(used(run) - earlier) / seconds for run, earlier in zip(runs, before, strict=True)]
    assert max(shares) < 0.15, f"{shares} of a core for waiting, in {workspace.root}"


def used(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children that live."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


@pytest.mark.parametrize("earlier", EARLIER_DAGSTER_YAML)
def test_settings_of_an_earlier_version_are_brought_up_to_date(workspace: Workspace, earlier: str) -> None:
    config = workspace.dagster_home / "dagster.yaml"
    config.write_text(earlier)
    with workspace.dagster_instance() as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_poll_interval_seconds <= 15
    assert config.read_text() == DAGSTER_YAML


def test_second_builder_says_for_whom_it_waits_and_follows(workspace: Workspace) -> None:
    asset, told, order = AssetId("edit_pairs", "beard"), list[str](), list[str]()
    waits = threading.Event()

    def second() -> None:
        with building(workspace, asset, "second", lambda: False, lambda note: (told.append(note), waits.set())[0]):
            order.append("second")

    thread = threading.Thread(target=second)
    with building(workspace, asset, "abcdefgh-first", lambda: False, told.append):
        thread.start()
        assert waits.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert told[0].startswith(f"for process {os.getpid()}, run abcdefgh")
    assert not list((workspace.root / ".editloom" / "locks").glob("*.holder"))


def test_other_assets_and_partitions_are_not_held_up(workspace: Workspace) -> None:
    beard = AssetId("edit_pairs", "beard")
    with building(workspace, beard, "a", _stopped, str):
        for other in (AssetId("edit_pairs", "short_hair"), AssetId("judges")):
            with building(workspace, other, "b", _stopped, str):
                pass
        with pytest.raises(Interrupted, match="edit_pairs"), building(workspace, beard, "c", _stopped, str):
            pass


def _stopped() -> bool:
    """To wait at all then raises Interrupted."""
    return True


def test_dvcs_own_locks_do_it_under_repro(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """To wait for a builder that waits for DVC, while DVC waits for this process, would last for ever."""
    monkeypatch.setenv("DVC_STAGE", "judges")
    with building(workspace, AssetId("judges"), "a", lambda: False, str):
        assert not list(Path(workspace.root / ".editloom").glob("locks/build-*"))


def test_several_front_ends_at_once_find_no_locked_database(workspace: Workspace) -> None:
    """The page, the daemon and the command line write to the same SQLite files; each waits for the others."""
    script, processes, runs = Path(__file__).with_name("many_runs.py"), 4, 4
    command = [sys.executable, str(script), str(workspace.root), str(runs)]
    known = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    started = [subprocess.Popen(command, env=known, stderr=subprocess.PIPE, text=True) for _ in range(processes)]
    ends = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in ends] == [0] * processes, "\n".join(said[-2000:] for said, _ in ends)
    assert not any("locked" in said for said, _ in ends)
    with workspace.dagster_instance() as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS"] * processes * runs
        assert instance.event_log_storage.get_concurrency_info(POOL).active_slot_count == 0
