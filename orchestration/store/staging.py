"""Staging: a payload grows in a directory beside its place, and is swapped in whole."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from data import fail_points
from orchestration.graph import AssetId

STAGING = Path("artifacts", ".staging")
BETWEEN_RENAMES = "payload-between-renames"  # a fail point; asked for, it is reached on every file system
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextmanager
def staging_dir(root: Path, asset_id: AssetId) -> Iterator[Path]:
    """An empty directory on the workspace's own file system for the payload of `asset_id`.

    A lock beside it tells that its process lives; whatever is left of it at the end is removed.
    """
    folder = root / STAGING / f"{asset_id.stage}-{uuid.uuid4().hex[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_owner_lock(folder))
    with lock:
        folder.mkdir()
        try:
            yield folder
        finally:
            remove(folder)
            _owner_lock(folder).unlink(missing_ok=True)


def sweep(root: Path, keep: frozenset[Path]) -> list[Path]:
    """Remove what dead processes left in staging, except `keep`; returns the directories removed."""
    left = (root / STAGING).glob("*")
    owners = {path.with_name(path.name.removesuffix(".lock").removesuffix(".old")) for path in left}
    return [removed for owner in sorted(owners - keep) for removed in _sweep_one(owner)]


def fsync_tree(folder: Path) -> None:
    """Force every file and directory under `folder` to the disk."""
    for directory, _, names in os.walk(folder):
        for name in names:
            _fsync(Path(directory, name))
        _fsync(Path(directory))


def swap(staged: Path, target: Path) -> None:
    """Put `staged` at `target`; what stood there before stands at `staged` afterwards.

    One atomic exchange; where the file system has none, two renames whose middle `settle` repairs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        staged.rename(target)
    elif fail_points.asked_for(BETWEEN_RENAMES) or not _exchange(staged, target):
        _swap_by_renames(staged, target)
    _fsync(target.parent)
    _fsync(staged.parent)


def settle(staged: Path, target: Path) -> None:
    """Undo a swap by renames that was cut in its middle: the old payload goes back to `target`."""
    old = _old_place(staged)
    if not old.exists():
        return
    if target.exists():
        old.rename(staged) if not staged.exists() else remove(old)
    else:
        old.rename(target)


def remove(folder: Path) -> None:
    """Delete a directory tree; none is fine."""
    if folder.exists():
        shutil.rmtree(folder)


def _swap_by_renames(staged: Path, target: Path) -> None:
    old = _old_place(staged)
    target.rename(old)
    fail_points.reach(BETWEEN_RENAMES)
    try:
        staged.rename(target)
    except OSError:  # such as a directory that finds no room for another name
        old.rename(target)
        raise
    old.rename(staged)


def _old_place(staged: Path) -> Path:
    return staged.with_name(staged.name + ".old")


def _exchange(first: Path, second: Path) -> bool:
    """Swap two paths by renameat2(RENAME_EXCHANGE); False where that is not to be had."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


def _sweep_one(folder: Path) -> list[Path]:
    lock = FileLock(_owner_lock(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return []
    try:
        dead = [path for path in (folder, _old_place(folder)) if path.exists()]
        for path in dead:
            remove(path)
        _owner_lock(folder).unlink(missing_ok=True)
    finally:
        lock.release()
    return dead


def _owner_lock(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
