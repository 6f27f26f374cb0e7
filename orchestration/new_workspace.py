"""`editloom new`: a fresh workspace from a preset."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from data.errors import UserError
from orchestration.params import load_params
from orchestration.store.keys import create
from orchestration.telemetry import SILENT
from orchestration.workspace import PARAMS_FILE, Workspace

GITIGNORE = """# Bytes belong to DVC, the ledger travels with its remote, the state is local.
/artifacts/
/ledger/
/.editloom/
/.dvc-store/
"""

DVCIGNORE = """# What DVC never needs to walk.
.editloom
.venv
artifacts/.staging
artifacts/.evidence
"""

DVC_CONFIG = """[core]
    analytics = false
    check_update = false
    autostage = false
    remote = local
['remote "local"']
    url = ../.dvc-store
"""

POLICY_SUFFIX = ".policy.yaml"
RELEASE_FILES = ("policy.yaml", "model_card.md.j2")


def presets() -> dict[str, Traversable]:
    """The presets that come with Editloom, by name."""
    folder = resources.files("orchestration") / "presets"
    return {f.name.removesuffix(".yaml"): f for f in sorted(folder.iterdir(), key=lambda f: f.name)}


def make(directory: Path, preset: str = "demo") -> None:
    """Make a git + DVC workspace in an empty or missing `directory`.

    Raises UserError for an unknown preset, a directory that holds something, or when git is missing.
    """
    source = _preset(preset)
    directory = _empty(directory)
    if shutil.which("git") is None:
        raise UserError("`git` was not found, and a workspace is a git repository.", "Install git and run this again.")
    (directory / PARAMS_FILE).write_bytes(source.read_bytes())
    _write_release_files(directory / "mlflow", preset)
    (directory / ".gitignore").write_text(GITIGNORE)
    _start_repositories(directory)
    workspace = Workspace(directory)
    _write_stages(workspace)
    workspace.prepare()
    create(directory)
    _first_commit(directory, preset)


def _preset(name: str) -> Traversable:
    known = presets()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        raise UserError(f"There is no preset `{name}`.", f"{hint}Presets: {', '.join(known)}.")
    return known[name]


def _empty(directory: Path) -> Path:
    directory = directory.expanduser().resolve()
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file, expected a new or empty directory.", "Name another directory.")
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty.", "Name a new or empty directory; nothing was changed.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory} cannot be made: {error.strerror}.", "Name another directory.") from None
    return directory


def _write_release_files(folder: Path, preset: str) -> None:
    """The card template and the policy: the preset's own where its models are too small for the usual one."""
    folder.mkdir()
    shipped = resources.files("orchestration") / "release_files"
    for name in RELEASE_FILES:
        (folder / name).write_bytes((shipped / name).read_bytes())
    own = shipped / f"{preset}{POLICY_SUFFIX}"
    if own.is_file():
        (folder / "policy.yaml").write_bytes(own.read_bytes())


def _start_repositories(directory: Path) -> None:
    _call(directory, "git", "init", "--quiet", "--initial-branch", "main")
    _call(directory, sys.executable, "-m", "dvc", "init", "--quiet")
    (directory / ".dvc" / "config").write_text(DVC_CONFIG)
    (directory / ".dvcignore").write_text(DVCIGNORE)


def _write_stages(workspace: Workspace) -> None:
    from orchestration.dvc_yaml import render

    (workspace.root / "dvc.yaml").write_text(render(load_params(workspace.params_file)))


def _first_commit(directory: Path, preset: str) -> None:
    """Commit what was written, so that ledger entries can name a commit from the first run on."""
    _call(directory, "git", "add", "--all")
    named = subprocess.run(["git", "config", "user.email"], cwd=directory, capture_output=True).returncode == 0
    identity = () if named else ("-c", "user.name=Editloom", "-c", "user.email=editloom@localhost")
    _call(directory, "git", *identity, "commit", "--quiet", "--no-gpg-sign", "-m", f"New workspace, preset {preset}")


def _call(directory: Path, *command: str) -> None:
    """Run a command in `directory`; UserError with its last words when it fails."""
    own = {
        k: v for k, v in os.environ.items() if not k.startswith("GIT_")
    }  # a git hook's variables name its own repository
    done = subprocess.run(command, cwd=directory, env={**own, **SILENT}, capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise UserError(f"`{' '.join(command)}` failed in {directory}: {words}", "Correct that and run this again.")
