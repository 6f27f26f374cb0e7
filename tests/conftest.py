"""Workspaces for tests: one empty and one fully built per session, cloned for each test that asks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from orchestration.telemetry import silence
from orchestration.workspace import VARIABLE, Workspace

silence()
# One thread per process: the suite runs two processes on two cores, and results must not depend on that number.
os.environ["OMP_NUM_THREADS"] = "1"
for _name in [name for name in os.environ if name.startswith("EDITLOOM_")]:
    os.environ.pop(_name)
for _name in ("MLFLOW_TRACKING_URI", "DAGSTER_HOME", "DVC_STAGE"):
    os.environ.pop(_name, None)
# `dvc repro` calls `editloom` by name.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
COMMAND = [sys.executable, "-m", "orchestration.cli"]

Editloom = Callable[..., subprocess.CompletedProcess[str]]


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
            run = _editloom(root, "run")
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


@pytest.fixture(scope="session")
def finished(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A fully built smoke workspace for tests that only look; it is not the current one. Never change it."""
    with pytest.MonkeyPatch.context() as patch:
        yield _clone(built_workspace, tmp_path_factory.mktemp("finished") / "workspace", patch, current=False)


@pytest.fixture
def editloom() -> Editloom:
    """`editloom ARGUMENTS` in a process of its own: called with a workspace or any directory, and the arguments."""

    def call(place: Workspace | Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return _editloom(place.root if isinstance(place, Workspace) else place, *arguments, **environment)

    return call


@pytest.fixture
def change_params() -> Callable[..., None]:
    """Set dotted keys of a workspace's params.yaml, whether they were there or not."""

    def change(ws: Workspace, changes: dict[str, object]) -> None:
        document = yaml.safe_load(ws.params_file.read_text())
        for dotted, value in changes.items():
            *path, last = dotted.split(".")
            section = document
            for key in path:
                section = section.setdefault(key, {})
            section[last] = value
        ws.params_file.write_text(yaml.safe_dump(document, sort_keys=False))

    return change


def _editloom(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # A terminal wide enough that no table cell is folded, which a test then could not find.
    known = {**os.environ, VARIABLE: str(root), "COLUMNS": "250", **environment}
    return subprocess.run([*COMMAND, *arguments], cwd=root, env=known, capture_output=True, text=True)


def _clone(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, *, current: bool = True) -> Workspace:
    shutil.copytree(source, target, symlinks=True)
    if current:
        monkeypatch.setenv(VARIABLE, str(target))
    # Opening a workspace's Dagster instance sets it; the next test has another one.
    monkeypatch.setenv("DAGSTER_HOME", str(target / ".editloom" / "dagster"))
    ws = Workspace.at(target)
    move_artifacts(ws.state / "mlflow.db", ws.mlflow_artifacts.as_uri())
    return ws


def move_artifacts(database: Path, folder: str) -> None:
    """MLflow writes absolute places down: those of a clone lead to its own files, not to the original's."""
    if not database.exists():
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        found = connection.execute("SELECT artifact_location FROM experiments WHERE name = 'editloom'").fetchone()
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'editloom'", (folder,))
        connection.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", (found[0], folder))
