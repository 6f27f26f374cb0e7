"""Which commit a workspace stands at, and whether anything differs from it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Written by every run: a change in them says nothing about the code or the settings.
_OURS = ("dvc.lock", "artifacts", "ledger", ".editloom")


@dataclass(frozen=True)
class GitState:
    """`commit` is None where there is no git repository or no commit yet; such a tree is never clean."""

    commit: str | None
    clean: bool


def git_state(root: Path) -> GitState:
    """The workspace's commit, and whether the tree equals it, not counting what runs write themselves."""
    commit = _git(root, "rev-parse", "--verify", "-q", "HEAD")
    if not commit:
        return GitState(None, False)
    changes = _git(root, "status", "--porcelain", "--", ".", *(f":(exclude){name}" for name in _OURS))
    return GitState(commit, changes == "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
