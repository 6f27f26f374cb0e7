"""Fixtures: processes that hold devices, and steps of real Dagster runs that do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from orchestration.compute.inventory import inventory
from orchestration.compute.tickets import Queue, Ticket
from orchestration.workspace import Workspace

HOLDER, LONG_STEP = (Path(__file__).with_name(name) for name in ("holder.py", "long_step.py"))
LONG_S = 60.0


class Holder:
    """A process of `holder.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def said(self) -> dict[str, object]:
        """What it says once it holds devices; waits for it."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def release(self) -> None:
        """Let it go, and wait until it has."""
        self.process.communicate(timeout=LONG_S)


Hold = Callable[..., Holder]


@pytest.fixture(name="devices")
def devices_fixture(workspace: Workspace, change_params: Callable[..., None]) -> Callable[[int], Workspace]:
    """A workspace with so many virtual devices."""

    def make(count: int) -> Workspace:
        change_params(workspace, {"compute.devices": count, "compute.memory_gb": 0.5})
        return workspace

    return make


@pytest.fixture(name="hold")
def hold_fixture(workspace: Workspace, tmp_path: Path) -> Iterator[Hold]:
    """Start a process that leases devices, without `times` and `seconds` once and until it is released."""
    started: list[subprocess.Popen[str]] = []

    def start(
        name: str = "step", devices: int = 1, priority: int = 0, memory_gb: float = 0.5, *, times: int = 1,
        seconds: float = 0.0, **environment: str,
    ) -> Holder:  # fmt: skip
        words = [name, devices, priority, memory_gb, tmp_path / "devices.log", times, seconds]
        command = [sys.executable, str(HOLDER), str(workspace.root), *map(str, words)]
        known = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
        started.append(subprocess.Popen(command, env=known, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return Holder(started[-1])

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(ws: Workspace) -> list[Ticket]:
    """What waits now, first first."""
    queue = Queue.of(ws, inventory(ws.params()))
    return sorted((ticket for ticket in queue.tickets() if not ticket.held), key=lambda ticket: ticket.rank)


@pytest.fixture(name="waiting")
def waiting_fixture(workspace: Workspace) -> Callable[..., None]:
    """Wait until exactly these stand in line, in this order."""

    def until(*names: str) -> None:
        deadline = time.monotonic() + LONG_S
        while [ticket.who for ticket in line(workspace)] != list(names):
            assert time.monotonic() < deadline, f"{[t.who for t in line(workspace)]} wait, not {names}"
            time.sleep(0.05)

    return until


@dataclass
class Step:
    """A running `long_step.py`: the Dagster run that it is, and the process of the step."""

    process: subprocess.Popen[str]
    run: str
    pid: int


Arrive = Callable[..., "subprocess.Popen[str]"]
Begin = Callable[..., Step]


@pytest.fixture(name="arrive")
def arrive_fixture(workspace: Workspace) -> Iterator[Arrive]:
    """Start a long step, and do not wait until it holds anything."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, how: str = "in-process") -> subprocess.Popen[str]:
        command = [sys.executable, str(LONG_STEP), str(workspace.root), how]
        log = (workspace.state / f"{name}.log").open("w")
        known = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "LONG_STEP": name}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=known))
        return started[-1]

    yield start
    for process in started:
        for child in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
            child.kill()
        process.kill()
        process.communicate()


@pytest.fixture(name="begin")
def begin_fixture(workspace: Workspace, arrive: Arrive) -> Begin:
    """Start a long step; returns when it holds its slot, its lease and its lock."""

    def start(name: str, how: str = "in-process") -> Step:
        process = arrive(name, how)
        assert process.stdout is not None
        said = next((line for line in process.stdout if line.startswith("{")), None)
        assert said, (workspace.state / f"{name}.log").read_text()
        return Step(process, *(json.loads(said)[key] for key in ("run", "pid")))

    return start
