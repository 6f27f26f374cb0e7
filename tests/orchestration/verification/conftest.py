"""One clone of the built workspace for everything that tampers and undoes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.workspace import Workspace
from tests.conftest import move_artifacts


@pytest.fixture(scope="module")
def ws(built_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A fully built workspace of this module's own; leave it as it was."""
    target = tmp_path_factory.mktemp("verified") / "workspace"
    shutil.copytree(built_workspace, target, symlinks=True)
    cloned = Workspace.at(target)
    move_artifacts(cloned.state / "mlflow.db", cloned.mlflow_artifacts.as_uri())
    yield cloned
    shutil.rmtree(target)
