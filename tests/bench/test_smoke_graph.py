"""How long the whole graph takes in a new workspace of the smoke preset, and how little once it is built."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.graph import expand
from orchestration.results import Bar, Figure, Record
from orchestration.run_record import read_run_records
from orchestration.workspace import VARIABLE, Workspace


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, float]:
    """A workspace in which the whole graph was run, and the seconds that it took."""
    root = tmp_path_factory.mktemp("smoke") / "workspace"
    _timed(root.parent, "orchestration.cli", "new", str(root), "--preset", "smoke")
    seconds = _timed(root, "orchestration.cli", "run")
    return Workspace.at(root), seconds


@pytest.mark.bench
def test_whole_graph_takes_at_most_three_minutes(
    built: tuple[Workspace, float], measured: Callable[..., Record]
) -> None:
    ws, seconds = built
    (run,) = read_run_records(ws)
    assert run.built_everything and run.states == {"done": len(expand(list(ws.params().attributes)))}
    note = f"{run.states['done']} assets, from the command's start to its end"
    measured(Figure("smoke preset: whole graph", seconds, "s", bar=Bar(at_most=180), note=note))


@pytest.mark.bench
def test_second_run_takes_at_most_ten_seconds(built: tuple[Workspace, float], measured: Callable[..., Record]) -> None:
    ws, _ = built
    seconds = _timed(ws.root, "orchestration.cli", "run")
    assert read_run_records(ws)[-1].reused_everything
    measured(Figure("smoke preset: second run, all reused", seconds, "s", bar=Bar(at_most=10)))


@pytest.mark.bench
def test_dvc_repro_with_nothing_to_do(built: tuple[Workspace, float], measured: Callable[..., Record]) -> None:
    """Both front ends find the same graph up to date; what each takes for it is only reported."""
    ws, _ = built
    entries = sorted(path.stat().st_mtime_ns for path in ws.artifacts.rglob("*.json"))
    seconds = _timed(ws.root, "dvc", "repro")
    assert sorted(path.stat().st_mtime_ns for path in ws.artifacts.rglob("*.json")) == entries
    measured(Figure("smoke preset: dvc repro, nothing to do", seconds, "s"))
    measured(Figure("smoke preset: dvc status", _timed(ws.root, "dvc", "status"), "s"))


def _timed(root: Path, module: str, *arguments: str) -> float:
    """Seconds that a command takes in a workspace; it must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, VARIABLE: str(root), "PATH": path}
    started = time.perf_counter()
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return seconds
