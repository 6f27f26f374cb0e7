"""A user's own files, found by their hash; photographs, left where they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from data.errors import UserError
from orchestration.outside_files import FILE, MODULE
from orchestration.reproduction.site import Site, git
from orchestration.store import dvc
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace
from training.entry_point import source_file

MAX_COMMITS = 500
_GLOB = "*?["


def place_recorded(ws: Workspace, site: Site, entries: Sequence[LedgerEntry]) -> None:
    """Put each file that the entries read beside their assets in its place, with the recorded bytes.

    Raises UserError that names a file whose recorded bytes are nowhere.
    """
    for entry in entries:
        for name, sha256 in entry.materialization.wanted.inputs.items():
            if name.startswith((FILE, MODULE)) and not _installed(ws, name, sha256):
                _place(ws, site, entry.subject, _path(ws, name), sha256)


def link_photographs(ws: Workspace, site: Site, paths: Sequence[str]) -> None:
    """Let relative paths of photographs lead to the original ones; raises UserError for a place that is gone."""
    for text in paths:
        fixed = _fixed_part(text)
        original = Path(os.path.normpath(ws.root / fixed))
        here = Path(os.path.normpath(site.root / fixed))
        if Path(fixed).is_absolute() or here.exists():
            continue
        if not original.exists():
            raise UserError(
                f"{original} is not there any more, and what is to be made again read it.", "Bring it back."
            )
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(original)


def depth_of(paths: Sequence[str]) -> int:
    """How many folders the highest of relative paths leads up."""
    relative = (Path(os.path.normpath(path)).parts for path in paths if not Path(path).is_absolute())
    return max((parts.count("..") for parts in relative), default=0)


def _fixed_part(text: str) -> str:
    """A path, or the folder above the first part of it that is a pattern."""
    parts = Path(text).parts
    first = next((number for number, part in enumerate(parts) if any(c in part for c in _GLOB)), len(parts))
    return str(Path(*parts[:first])) if first else "."


def _path(ws: Workspace, name: str) -> str:
    if name.startswith(FILE):
        return name.removeprefix(FILE)
    parts = Path(*name.removeprefix(MODULE).split("."))
    package = parts / "__init__.py"
    return str(package if (ws.root / package).is_file() else parts.with_suffix(".py"))


def _installed(ws: Workspace, name: str, sha256: str) -> bool:
    """Whether an input is a module that is no file of the workspace, and is installed as it was."""
    if not name.startswith(MODULE) or (ws.root / _path(ws, name)).is_file():
        return False
    try:
        return _digest(source_file(f"{name.removeprefix(MODULE)}:any", ws.root, name)) == sha256
    except UserError:
        return False


def _place(ws: Workspace, site: Site, subject: str, path: str, sha256: str) -> None:
    target = site.root / path
    if _digest(target) == sha256:
        return
    if Path(path).is_absolute():
        raise UserError(f"{path} is not what {subject} was made with (sha256 {sha256[:12]}).", "Put that file back.")
    for found in _candidates(ws, path):
        if hashlib.sha256(found).hexdigest() == sha256:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(found)
            return
    hint = "It is neither in the workspace, nor in git's history, nor in DVC's cache: put that very file back."
    raise UserError(f"{path} as {subject} was made with (sha256 {sha256[:12]}) is nowhere.", hint)


def _candidates(ws: Workspace, path: str) -> Iterator[bytes]:
    """The file's bytes wherever a version of it may be."""
    if (ws.root / path).is_file():
        yield (ws.root / path).read_bytes()
    if (ws.root / f"{path}.dvc").is_file():
        outs = yaml.safe_load((ws.root / f"{path}.dvc").read_text())["outs"]
        cached = (dvc.cache_dir(ws.root) / out["md5"][:2] / out["md5"][2:] for out in outs)
        yield from (file.read_bytes() for file in cached if file.is_file())
    yield from _from_history(ws.root, path)


def _from_history(root: Path, path: str) -> Iterator[bytes]:
    try:
        commits = git(root, "log", "--all", f"--max-count={MAX_COMMITS}", "--format=%H", "--", path).split()
    except UserError:
        return
    for commit in commits:
        shown = subprocess.run(["git", "show", f"{commit}:./{path}"], cwd=root, capture_output=True)
        if shown.returncode == 0:
            yield shown.stdout


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
