"""The temporary workspace in which something is made again: a clone at the recorded commit, with a state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from orchestration.telemetry import SILENT
from orchestration.workspace import VARIABLE, Workspace

CLONE = "workspace"
CODE = Path("orchestration", "code_versions.json")
INSTALLED = Path(__file__).resolve().parents[2]
"""The folder from which this very code was imported."""
SAID_LINES = 12
_FOREIGN = ("GIT_", "EDITLOOM_", "DVC_", "DAGSTER_", "MLFLOW_")


@dataclass(frozen=True)
class Site:
    """A temporary workspace: `repository` is the clone, `root` the workspace in it, `log` what its commands said."""

    repository: Path
    root: Path
    log: Path

    @property
    def code(self) -> Path:
        """Where its code is imported from: the clone when that holds the code, else where this code came from."""
        return self.repository if (self.repository / CODE).is_file() else INSTALLED

    def environment(self) -> dict[str, str]:
        """Variables for a process of this workspace alone: no key, server or store of the original reaches it."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        path = os.pathsep.join(filter(None, [str(self.code), own.get("PYTHONPATH", "")]))
        # Without the safe path a process would import from its current directory first.
        return {**own, **SILENT, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", VARIABLE: str(self.root)}

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments in the workspace; what it said is added to the log."""
        command, environment = [sys.executable, *arguments], self.environment()
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
        return done

    def editloom(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an `editloom` command of the workspace's own code."""
        return self.python("-m", "orchestration.cli", *arguments)

    def script(self, name: str, argument: str) -> str:
        """Run a script of this room with the workspace's own code; returns its output.

        Raises UserError with its last words when it fails.
        """
        done = self.python(str(Path(__file__).with_name(name)), argument)
        if done.returncode != 0:
            raise UserError(f"The workspace of the reproduction is refused: {last_words(done)}", f"Log: {self.log}")
        return done.stdout

    def check_out(self, commit: str | None) -> None:
        """Put the tree of a commit in place; what runs made stays."""
        if commit is not None:
            git(self.repository, "checkout", "--quiet", "--force", "--detach", commit)


def make_site(ws: Workspace, base: Path, commits: Sequence[str | None], depth: int) -> Site:
    """A temporary workspace under `base`, at the first of `commits`, with a signing key of its own.

    It lies `depth` folders deep, so that as many `..` in a path stay inside `base`. Raises UserError for a commit that
    the workspace's repository does not have.
    """
    place = base.joinpath(*["in"] * depth, CLONE)
    known = [commit for commit in commits if commit is not None]
    if known:
        prefix = _clone(ws.root, place, known)
    else:
        prefix = ""
        Workspace.new(place, "smoke")  # its params.yaml is replaced by the recorded settings
    site = Site(place, place / prefix, base / "reproduction.log")
    site.check_out(known[0] if known else None)
    if (site.code / "orchestration" / "store" / "keys.py").is_file():
        _require(site.editloom("keys", "init"), site)
    return site


def git(folder: Path, *arguments: str) -> str:
    """What a git command says; raises UserError with its own words when it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *arguments], cwd=folder, env=own, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"git {' '.join(arguments[:2])} failed in {folder}: {last_words(done)}", "Correct that first.")
    return done.stdout.strip()


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what a process said."""
    return "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-SAID_LINES:])


def probe(site: Site, assets: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Code version, digest of settings and device class of assets, as the workspace's own code has them."""
    return dict(json.loads(site.script("probe.py", json.dumps(list(assets)))))


def _clone(root: Path, place: Path, commits: Sequence[str]) -> str:
    """Clone the repository of `root` without a tree; returns where in it the workspace lies."""
    try:
        top, prefix = git(root, "rev-parse", "--show-toplevel"), git(root, "rev-parse", "--show-prefix")
    except UserError:
        hint = "Reproduce in a clone of the repository in which it was made."
        raise UserError(f"{root} is in no git repository, and the ledger names commit {commits[0]}.", hint) from None
    for commit in dict.fromkeys(commits):
        try:
            git(root, "cat-file", "-e", f"{commit}^{{commit}}")
        except UserError:
            hint = "Fetch it (`git fetch --all`), or reproduce in the clone in which it was made."
            raise UserError(f"The commit {commit} that the ledger names is not in this repository.", hint) from None
    place.parent.mkdir(parents=True, exist_ok=True)
    # Shared: the clone sees every object, those of no branch too, and copies none.
    git(root, "clone", "--quiet", "--shared", "--no-checkout", top, str(place))
    return prefix


def _require(done: subprocess.CompletedProcess[str], site: Site) -> None:
    if done.returncode != 0:
        raise UserError(f"The workspace of the reproduction is refused: {last_words(done)}", f"Log: {site.log}")
