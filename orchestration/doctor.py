"""`editloom doctor`: what is right, what is not, what to do."""

from __future__ import annotations

import configparser
import importlib.metadata
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table

from data.errors import UserError
from orchestration.compute.inventory import accelerator_count, host_memory_gb
from orchestration.params import Params
from orchestration.results import usable_cores
from orchestration.workspace import Workspace

MIN_PYTHON = (3, 11)
LOW_DISK_GB, WANTED_DISK_GB = 1.0, 6.0
WAIT_S = 5.0
DISTRIBUTION = "editloom"
PHOTO_MODULES = ("dlib", "face_recognition_models")


@dataclass(frozen=True)
class Finding:
    """One look at one thing; `todo` says what to do when it is not right, and `essential` whether a run needs it."""

    what: str
    ok: bool
    found: str
    todo: str = ""
    essential: bool = True


Check = Callable[[Workspace], Finding]


def diagnose(ws: Workspace) -> list[Finding]:
    """Look at everything that a run in `ws` stands on; nothing is changed."""
    checks: tuple[Check, ...] = (
        _python,
        _packages,
        _pins,
        _photos,
        _settings,
        _disk,
        _devices,
        _tracking,
        _git,
        _dvc,
        _stages,
    )
    return [check(ws) for check in checks]


def report(ws: Workspace, console: Console) -> int:
    """Show the findings as a table; returns 1 when something essential is wrong, else 0."""
    findings = diagnose(ws)
    table = Table("", "what", "found", "to do", title=f"Workspace {ws.root}", title_justify="left")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]wrong[/]" if finding.essential else "[yellow]note[/]"
        table.add_row(mark, finding.what, finding.found, finding.todo)
    console.print(table)
    return 1 if any(not f.ok and f.essential for f in findings) else 0


def _python(ws: Workspace) -> Finding:
    found, wanted = ".".join(map(str, sys.version_info[:3])), ".".join(map(str, MIN_PYTHON))
    enough = sys.version_info >= MIN_PYTHON
    return Finding("Python", enough, found, "" if enough else f"Install Python {wanted} or newer.")


def _packages(ws: Workspace) -> Finding:
    """Every requirement of the distribution, extras aside."""
    needs = [Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or ()]
    needs = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    wrong = [complaint for complaint in map(_unmet, needs) if complaint]
    found = ", ".join(wrong) if wrong else f"{len(needs)} requirements are met"
    return Finding("Packages", not wrong, found, "" if not wrong else "Install again: `make setup`.")


def _unmet(need: Requirement) -> str | None:
    installed = _version(need.name)
    if installed is None:
        return f"{need.name} is missing"
    met = need.specifier.contains(installed, prereleases=True)
    return None if met else f"{need.name} {installed}, expected {need.specifier}"


def _pins(ws: Workspace) -> Finding:
    """The exact versions that were tested, where the file that names them is at hand."""
    path = Path(__file__).resolve().parents[1] / "constraints.txt"
    if not path.is_file():
        return Finding("Tested versions", True, "no constraints.txt beside this installation", essential=False)
    pins = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
    other = [f"{name} {have} (tested: {pin})" for name, pin in pins if (have := _version(name)) not in (None, pin)]
    found = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
    todo = "Figures may differ; `make setup` installs the tested versions." if other else ""
    return Finding("Tested versions", not other, found or f"as in constraints.txt ({len(pins)})", todo, essential=False)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(canonicalize_name(name))
    except importlib.metadata.PackageNotFoundError:
        return None


def _photos(ws: Workspace) -> Finding:
    missing = [name for name in PHOTO_MODULES if importlib.util.find_spec(name) is None]
    found = f"not installed: {', '.join(missing)}" if missing else "installed"
    needed = _params_or_none(ws)
    essential = needed is not None and needed.aligned_images.detector == "dlib"
    todo = "For landmarks of photographs: pip install 'editloom[photos]'." if missing else ""
    return Finding("Extra `photos`", not missing, found, todo, essential)


def _settings(ws: Workspace) -> Finding:
    try:
        params = ws.params()
    except UserError as error:
        return Finding("params.yaml", False, error.message, error.hint)
    return Finding("params.yaml", True, f"{len(params.attributes)} attributes: {', '.join(params.attributes)}")


def _params_or_none(ws: Workspace) -> Params | None:
    try:
        return ws.params()
    except UserError:
        return None


def _disk(ws: Workspace) -> Finding:
    free_gb = shutil.disk_usage(ws.root).free / 1e9
    if not os.access(ws.root, os.W_OK):
        return Finding("Disk", False, f"{ws.root} is read-only", "Give yourself the right to write there.")
    enough = free_gb >= WANTED_DISK_GB
    todo = "" if enough else f"The demo wants {WANTED_DISK_GB:g} GB free; make room, or use the smoke preset."
    return Finding("Disk", enough, f"{free_gb:.1f} GB free", todo, essential=free_gb < LOW_DISK_GB)


def _devices(ws: Workspace) -> Finding:
    params = _params_or_none(ws)
    cores, memory_gb, cuda = usable_cores(), host_memory_gb(), accelerator_count()
    found = f"{cores} CPU cores, {memory_gb:.1f} GB memory, {cuda} CUDA devices"
    if cuda and not _torch_sees_cuda():
        return Finding("Devices", False, f"{found}, which torch cannot use", "Install a driver that fits torch's CUDA.")
    if params is None:
        return Finding("Devices", True, found)
    compute = params.compute
    if compute.accelerator == "cuda" and not cuda:
        return Finding("Devices", False, found, "params.yaml asks for cuda; set compute.accelerator to auto.")
    if not cuda and compute.devices * compute.threads_per_device > cores:
        busy = f"{compute.devices} steps of {compute.threads_per_device} threads"
        todo = f"compute asks for {busy} at once: lower it to what {cores} cores carry."
        return Finding("Devices", False, found, todo, essential=False)
    if not cuda and compute.devices * compute.memory_gb > memory_gb:
        return Finding("Devices", False, found, "Lower compute.devices: memory is short.", essential=False)
    return Finding("Devices", True, found)


def _torch_sees_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _tracking(ws: Workspace) -> Finding:
    uri = ws.mlflow_uri
    if uri.startswith("sqlite:///"):
        return _tracking_file(Path(uri.removeprefix("sqlite:///")))
    if not uri.startswith(("http://", "https://")):
        return Finding("Tracking server", True, f"{uri} (not contacted)")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=WAIT_S) as answer:
            return Finding("Tracking server", answer.status == 200, f"{uri} answers {answer.status}")
    except (urllib.error.URLError, OSError, ValueError) as error:
        todo = "Start it, or unset MLFLOW_TRACKING_URI to use the workspace's own database."
        return Finding("Tracking server", False, f"{uri} does not answer: {error}", todo)


def _tracking_file(path: Path) -> Finding:
    if not path.exists():
        return Finding("Tracking server", True, f"{path}, made by the first run")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=WAIT_S) as database:
            answer = str(database.execute("pragma quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        answer = str(error)
    todo = "" if answer == "ok" else "Move the file away (its runs are lost), or restore it."
    return Finding("Tracking server", answer == "ok", f"{path}: {answer}", todo)


def _git(ws: Workspace) -> Finding:
    if shutil.which("git") is None:
        return Finding("git", False, "not found", "Install git.")
    if _output(ws, "git", "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return Finding("git", False, "no commit", "Commit once: ledger entries name the commit.", essential=False)
    changed = _output(ws, "git", "status", "--porcelain", "--", ".", ":!dvc.lock", ":!artifacts", ":!ledger")
    found = "clean" if changed == "" else f"{len((changed or '').splitlines())} uncommitted changes"
    todo = "" if changed == "" else "Commit them: entries are marked as made from an unclean tree."
    return Finding("git", changed == "", found, todo, essential=False)


def _output(ws: Workspace, *command: str) -> str | None:
    done = subprocess.run(command, cwd=ws.root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _dvc(ws: Workspace) -> Finding:
    path = ws.root / ".dvc" / "config"
    if not path.parent.is_dir():
        return Finding("DVC", False, "no .dvc directory", "Run `dvc init`, or make a workspace with `editloom new`.")
    config = configparser.ConfigParser()
    config.read([path, path.with_name("config.local")])
    name = config.get("core", "remote", fallback="")
    url = config.get(f"'remote \"{name}\"'", "url", fallback="")
    if not url:
        return Finding("DVC", False, "no default remote", "Run `dvc remote add -d NAME URL`.", essential=False)
    if "://" in url:
        return Finding("DVC", True, f"remote {name}: {url} (not contacted)")
    folder = (path.parent / url).resolve()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    writable = os.access(existing, os.W_OK)
    todo = "" if writable else "Give yourself the right to write there, or name another remote."
    return Finding("DVC", writable, f"remote {name}: {folder}", todo, essential=False)


def _stages(ws: Workspace) -> Finding:
    from orchestration.dvc_yaml import render

    params, path = _params_or_none(ws), ws.root / "dvc.yaml"
    if params is None:
        return Finding("dvc.yaml", False, "not compared: params.yaml is wrong", "Correct params.yaml first.")
    current = path.is_file() and path.read_text() == render(params)
    todo = "" if current else "Run `editloom dvc-yaml`."
    found = "as the graph says" if current else "differs from the graph" if path.is_file() else "missing"
    return Finding("dvc.yaml", current, found, todo, essential=False)
