"""A full disk, told as what it is: where there is no room, how much is left, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import UserError, led_to

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
HINT = "Make room there, then run the same command again: it goes on from what stands."
# Libraries that hide the number: safetensors, SQLite, Arrow, DVC.
_SAYINGS = ("no space left on device", "disk quota exceeded", "database or disk is full")
# What SQLite says when it cannot make or grow one of its files, for want of room or for another reason.
_PERHAPS = ("disk i/o error", "unable to open database file")
_NEXT_TO_NOTHING = 1 << 20


class DiskFullError(UserError):
    """There was no room for what had to be written; what stood before still stands."""


@contextmanager
def room_in(folder: Path, what: str) -> Iterator[None]:
    """Raise DiskFullError, which names `folder` and `what` was to be written, for any error for want of room."""
    try:
        yield
    except Exception as error:
        full = disk_full(error, folder, what)
        if full is None or full is error:
            raise
        raise full from error


def disk_full(error: BaseException, folder: Path, what: str = "what must be written") -> DiskFullError | None:
    """What to tell of an error that a full disk is behind, in whatever library's words; None for another error.

    A DiskFullError that led to `error` is returned itself, since it says more.
    """
    chain = list(led_to(error))
    told = next((one for one in chain if isinstance(one, DiskFullError)), None)
    if told is not None:
        return told
    found = next((one for one in chain if _for_want_of_room(one, folder)), None)
    return None if found is None else no_room(_folder_of(found, folder), what)


def says_full(text: str) -> bool:
    """Whether a program's words say that the disk is full."""
    return any(saying in text.lower() for saying in _SAYINGS)


def no_room(folder: Path, what: str) -> DiskFullError:
    """The error for a folder without room for something."""
    return DiskFullError(f"There is no room in {folder} for {what}: {_left(folder)}.", HINT)


def _for_want_of_room(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    text = str(error).lower()
    perhaps = any(saying in text for saying in _PERHAPS)
    return says_full(text) or (perhaps and _free_bytes(folder) < _NEXT_TO_NOTHING)


def _folder_of(error: BaseException, folder: Path) -> Path:
    """The folder of the file that an error names, or else `folder`."""
    name = getattr(error, "filename", None)
    return Path(os.fsdecode(name)).parent if isinstance(name, str | bytes) else folder


def _left(folder: Path) -> str:
    """How much its file system has left: of bytes, or of files where those ran out."""
    stat = os.statvfs(_existing(folder))
    if stat.f_files and not stat.f_favail:
        return "its file system can hold no more files"
    free, total = (blocks * stat.f_frsize / 1e6 for blocks in (stat.f_bavail, stat.f_blocks))
    return f"{free:,.1f} MB of {total:,.0f} MB are left on its file system, for this user perhaps less"


def _free_bytes(folder: Path) -> int:
    stat = os.statvfs(_existing(folder))
    return stat.f_bavail * stat.f_frsize


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
