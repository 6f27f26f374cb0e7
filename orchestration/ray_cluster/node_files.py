"""What a node of the cluster keeps on its own disk: a folder for each step, and inputs that were fetched before."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data.errors import UserError
from orchestration.ray_cluster.store import Objects
from orchestration.store.staging import remove

NODE_DIR_VARIABLE, CACHE_VARIABLE = "EDITLOOM_NODE_DIR", "EDITLOOM_NODE_CACHE_GB"
CACHE_GB = 50.0


def node_dir() -> Path:
    """EDITLOOM_NODE_DIR, or else a folder of this user's among the temporary ones; raises UserError for another's."""
    named = os.environ.get(NODE_DIR_VARIABLE)
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"editloom-node-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        hint = f"Set {NODE_DIR_VARIABLE} to a folder of this user's before `ray start`."
        raise UserError(f"{folder} on the Ray node belongs to somebody else.", hint)
    return folder


@contextmanager
def task_folder() -> Iterator[Path]:
    """An empty folder for one step; gone afterwards, and what dead processes left goes with it."""
    tasks = node_dir() / "tasks"
    tasks.mkdir(exist_ok=True)
    for owner in tasks.glob("*.lock"):
        _sweep(owner)
    folder = tasks / uuid.uuid4().hex[:12]
    with FileLock(_owner(folder)):
        folder.mkdir()
        try:
            yield folder
        finally:
            remove(folder)
            _owner(folder).unlink(missing_ok=True)
            _trim_cache()


def cached(objects: Objects, sha256: str, target: Path) -> None:
    """Lay an input out at `target`, fetched unless the node has it; raises UserError when the store has it not."""
    kept = node_dir() / "cache" / sha256[:2] / sha256
    if not kept.exists():
        objects.fetch(sha256, kept)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.utime(kept)
        os.link(kept, target)
    except OSError:  # no links on this disk, or trimmed a moment ago
        if kept.exists():
            shutil.copyfile(kept, target)
        else:
            objects.fetch(sha256, target)


def _trim_cache() -> None:
    """Drop what was used longest ago until the cache is within its limit; what a step uses it holds by a link."""
    room = float(os.environ.get(CACHE_VARIABLE, CACHE_GB)) * 1e9
    found = []
    for path in (node_dir() / "cache").glob("??/*"):
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    for _, size_bytes, path in sorted(found, reverse=True):
        room -= size_bytes
        if room < 0:
            path.unlink(missing_ok=True)


def _sweep(owner: Path) -> None:
    lock = FileLock(owner)
    with suppress(Timeout):
        lock.acquire(timeout=0)
        remove(owner.with_suffix(""))
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
