"""What Editloom adds to the work: the graph with its work removed, a run with nothing to do, and DVC beside both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from orchestration.graph import expand
from orchestration.results import Bar, Figure
from orchestration.run_record import read_run_records
from orchestration.workspace import VARIABLE, Workspace

HOLLOW = Path(__file__).parent / "hollow_graph"
CHAIN = ("original_report", "attribute_release@beard")
"""What `dvc repro` is asked for: everything that no attribute has a part in, and one attribute's chain."""
ASSET_S, NOTHING_S = 1.5, 6.0
Write = Callable[..., None]


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_overhead_of_the_graph_without_its_work(
    platform_measured: Write, empty_workspace: Path, tmp_path: Path
) -> None:
    ours, theirs, plain = (_clone(empty_workspace, tmp_path / name) for name in ("ours", "theirs", "plain"))
    assets = len(expand(list(Workspace.at(ours).params().attributes)))
    seconds = _timed(ours, "orchestration.cli", "run") / assets
    (run,) = read_run_records(Workspace.at(ours))
    assert run.built_everything and run.states == {"done": assets}
    staged, repro = _stages(theirs), _timed(theirs, "dvc", "repro", *CHAIN)
    _write_plain(plain)
    floor = _timed(plain, "dvc", "repro", *CHAIN)
    note = "smoke preset, each asset writes one small file; ledger, DVC, MLflow and Dagster as ever"
    platform_measured(
        Figure("overhead of an asset: editloom run", seconds, "s", bar=Bar(at_most=ASSET_S), note=f"{note}; {assets}"),
        Figure("overhead of an asset: dvc repro of Editloom's stages", repro / staged, "s", note=f"{staged} stages, "
               "each a process of its own that does all that an asset of `editloom run` does"),
        Figure("overhead of an asset: dvc repro of bare stages", floor / staged, "s", note="the same stages as "
               "`python -c` that writes the file: no ledger, no tracking, no page"),
    )  # fmt: skip


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_run_with_nothing_to_do(platform_measured: Write, baseline: Workspace) -> None:
    _timed(baseline.root, "orchestration.cli", "run", hollow=False)  # the file system's cache is warm, as after a build
    seconds = _timed(baseline.root, "orchestration.cli", "run", hollow=False)
    assert read_run_records(baseline)[-1].reused_everything
    beside = _timed(baseline.root, "dvc", "repro", hollow=False)
    platform_measured(
        Figure("smoke preset: run with nothing to do", seconds, "s", bar=Bar(at_most=NOTHING_S),
               note="from the command's start to its end"),
        Figure("smoke preset: dvc repro with nothing to do", beside, "s"),
    )  # fmt: skip


def _clone(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, symlinks=True)
    return target


def _stages(root: Path) -> int:
    """How many stages `CHAIN` stands for."""
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "status", *CHAIN, "--with-deps", "--json"],
        cwd=root, env=_environment(root, hollow=True), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return len(yaml.safe_load(listed.stdout))


def _write_plain(root: Path) -> None:
    """The same stages, edges and settings in dvc.yaml, each the smallest command that writes its file."""
    document = yaml.safe_load((root / "dvc.yaml").read_text())
    for stage in document["stages"].values():
        (out,) = stage["outs"][0]
        code = f"import pathlib; p = pathlib.Path('{out}'); p.mkdir(parents=True); (p / 'payload.json').write_text('1')"
        stage["cmd"] = f'{sys.executable} -c "{code}"'
    (root / "dvc.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _timed(root: Path, module: str, *arguments: str, hollow: bool = True) -> float:
    """Seconds that a command takes in a workspace; it must succeed."""
    started = time.perf_counter()
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=root, env=_environment(root, hollow), capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return seconds


def _environment(root: Path, hollow: bool) -> dict[str, str]:
    path = os.pathsep.join([*([str(HOLLOW)] if hollow else []), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, VARIABLE: str(root), "PYTHONPATH": path}
