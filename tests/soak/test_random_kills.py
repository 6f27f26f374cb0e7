"""Kills at random moments, seeded: whatever dies, the next run ends with the undisturbed run's bytes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from orchestration.graph import expand
from orchestration.store import chain, ledger
from orchestration.workspace import VARIABLE, Workspace

KILLS, EARLIEST_S, LATEST_S = 4, 4.0, 45.0
RUN = [sys.executable, "-m", "orchestration.cli", "run"]


def versions(ws: Workspace) -> dict[str, str | None]:
    """The data version of everything that stands in a workspace's ledger."""
    entries = {str(i): ledger.last_entry(ws.root, i.asset, i.partition) for i in expand(tuple(ws.params().attributes))}
    return {name: entry.materialization.data_version if entry else None for name, entry in entries.items()}


def kill_after(ws: Workspace, seconds: float) -> None:
    """Start a run and kill it with all its processes after `seconds`, at whatever it does then."""
    environment = {**os.environ, VARIABLE: str(ws.root)}
    process = subprocess.Popen(RUN, cwd=ws.root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    if process.poll() is None:
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            each.kill()
    process.wait()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3))
def test_random_kills_leave_the_undisturbed_payloads(
    seed: int, workspace: Workspace, finished: Workspace, editloom: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    moments = random.Random(seed)
    for _ in range(KILLS):
        kill_after(workspace, moments.uniform(EARLIEST_S, LATEST_S))
    ended = editloom(workspace, "run")
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert versions(workspace) == versions(finished)
    assert chain.verify_chain(workspace.root) == []
