"""The repository itself: copies that must be equal, pins that must be exact, one entry for each purpose."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestration.graph import GRAPH
from orchestration.new_workspace import DVC_CONFIG, DVCIGNORE, GITIGNORE, RELEASE_FILES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", RELEASE_FILES)
def test_shipped_copy_of_a_release_file_is_the_repositorys(name: str) -> None:
    shipped = resources.files("orchestration") / "release_files" / name
    assert shipped.read_bytes() == (ROOT / "mlflow" / name).read_bytes()


def test_mlflow_folder_never_becomes_a_package() -> None:
    assert not list((ROOT / "mlflow").rglob("*.py"))


def test_repository_root_is_a_workspace_as_new_ones_are() -> None:
    assert (ROOT / ".dvc" / "config").read_text() == DVC_CONFIG
    assert (ROOT / ".dvcignore").read_text() == DVCIGNORE
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert set(GITIGNORE.splitlines()[1:]) <= set(ignored)


def test_pins_are_exact_and_name_no_place() -> None:
    for pin in PINS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin), pin


def test_every_dependency_is_pinned_within_its_range() -> None:
    pinned = {canonicalize_name(name): version for name, version in (pin.split("==") for pin in PINS)}
    extras = PROJECT["project"]["optional-dependencies"].values()
    for line in [*PROJECT["project"]["dependencies"], *(need for extra in extras for need in extra)]:
        need = Requirement(line)
        assert need.specifier.contains(pinned[canonicalize_name(need.name)], prereleases=True), line


def test_continuous_integration_runs_the_whole_test_target() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("target", ["demo", "test", "ui", "bench", "soak", "results"])
def test_target_sets_itself_up(target: str) -> None:
    """With no environment yet, each target's plan begins with making one."""
    plan = subprocess.run(
        ["make", "--dry-run", "VENV=.no-such-environment", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "-m venv .no-such-environment" in plan
    assert plan.index("-m venv") < plan.rindex(".no-such-environment/bin/")


def test_every_non_python_file_of_a_package_is_shipped() -> None:
    declared = PROJECT["tool"]["setuptools"]["package-data"]
    for package in ("orchestration", "training", "evaluation", "data"):
        folder = ROOT / package
        shipped = {path for pattern in declared.get(package, ()) for path in folder.glob(pattern)}
        present = {p for p in folder.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"}}
        assert present <= shipped, f"not shipped: {sorted(map(str, present - shipped))}"


def test_picture_of_the_graph_shows_every_edge_and_no_other() -> None:
    picture = (ROOT / "README.md").read_text().split("```mermaid")[1].split("```")[0]
    chains = [[part.strip() for part in line.split("-->")] for line in picture.splitlines() if "-->" in line]
    drawn = {edge for chain in chains for edge in pairwise(chain)}
    assert drawn == {(dep, node.name) for node in GRAPH.values() for dep in node.deps}
