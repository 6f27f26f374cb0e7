"""Workspaces for tests: one empty and one fully built per session, cloned for each test that asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from orchestration.telemetry import silence
from orchestration.workspace import VARIABLE, Workspace

silence()
# One thread per process: the suite runs two processes on two cores, and results must not depend on that number.
os.environ["OMP_NUM_THREADS"] = "1"
for _name in ("MLFLOW_TRACKING_URI", "DAGSTER_HOME", "DVC_STAGE", VARIABLE):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all worker processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def empty_workspace(shared_folder: Path) -> Path:
    """A new smoke workspace, made once; never change it."""
    root = shared_folder / "empty-workspace"
    with FileLock(f"{root}.lock"):
        if not root.exists():
            arriving = root.with_name("empty-workspace.part")
            Workspace.new(arriving, "smoke")
            arriving.rename(root)
    return root


@pytest.fixture(scope="session")
def built_workspace(shared_folder: Path, empty_workspace: Path) -> Path:
    """A smoke workspace in which the whole graph was run, once; never change it."""
    root, done = shared_folder / "built-workspace", shared_folder / "built-workspace.done"
    with FileLock(f"{root}.lock"):
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(empty_workspace, root, symlinks=True)
            command = [sys.executable, "-m", "orchestration.cli", "run"]
            environment = {**os.environ, VARIABLE: str(root)}
            run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
            assert run.returncode == 0, f"the baseline's run failed:\n{run.stdout[-4000:]}\n{run.stderr[-4000:]}"
            done.touch()
    return root


@pytest.fixture
def workspace(empty_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A smoke workspace of the test's own, nothing built in it yet; it is the current one."""
    return _clone(empty_workspace, tmp_path / "workspace", monkeypatch)


@pytest.fixture
def baseline(built_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A fully built smoke workspace of the test's own; it is the current one."""
    return _clone(built_workspace, tmp_path / "workspace", monkeypatch)


def _clone(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    shutil.copytree(source, target, symlinks=True)
    monkeypatch.setenv(VARIABLE, str(target))
    return Workspace.at(target)
