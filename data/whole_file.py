"""Files that are there whole or not at all: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.disk_space import room_in

PART = ".part"


@contextmanager
def written_whole(path: Path, what: str = "", *, durable: bool = True) -> Iterator[Path]:
    """A file beside `path` to write, which takes its place at the end; after an error nothing of it is left.

    A crash leaves `path` as it was or as it shall be; `durable` says that a power cut shall too. `what` is what the
    file is called in words. Raises DiskFullError where there is no room.
    """
    part = path.with_name(path.name + PART)
    try:
        with room_in(path.parent, what or path.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if durable:
                _flush(part)
            os.replace(part, path)
            if durable:
                _flush(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Delete the unfinished files that killed processes left in a folder; nobody else may be writing there."""
    for part in folder.glob(f"*{PART}"):
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
