"""The spool: what a step tells MLflow, first written to a folder of this machine, in order and numbered."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from orchestration.tracking.spool_folder import (
    FILES,
    HEADER,
    RECORDS,
    SENT,
    SPOOL,
    Header,
    Record,
    header_of,
    let_go,
    lock_of,
    now_ms,
    read_mark,
    write_small,
)
from orchestration.workspace import Workspace

LOGGER = logging.getLogger(__name__)
BATCH = 500
TAIL_BYTES = 1 << 20

WriteFiles = Callable[[Path], object]
"""Writes what belongs to a record into an empty folder."""


class Spool:
    """One spool folder, held by this process. Any thread may append; one thread reads and marks."""

    def __init__(self, folder: Path, header: Header, lock: FileLock) -> None:
        self.folder, self.header, self._lock = folder, header, lock
        self._guard = threading.Lock()
        self._fd = os.open(folder / RECORDS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._sent, self._next = read_mark(folder)
        self._size = os.fstat(self._fd).st_size
        self._waiting: list[bytes] = []
        self._told_full = False
        self._dirty = False
        self.removed = False

    @classmethod
    def create(cls, ws: Workspace, header: Header) -> Spool:
        """A new spool; raises OSError when there is no room for it."""
        folder = ws.state / SPOOL / f"{header.id.stage}-{uuid.uuid4().hex[:12]}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder)
        lock.acquire()
        try:
            folder.mkdir()
            write_small(folder / HEADER, header.model_dump_json())
            return cls(folder, header, lock)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            let_go(folder, lock)
            raise

    @classmethod
    def take(cls, folder: Path) -> Spool | None:
        """The spool that a dead process left in `folder`; None while its process lives, or when nothing is left.

        A last line that a kill cut off is dropped. Raises SpoolError for a folder that cannot be read.
        """
        lock = lock_of(folder)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        try:
            spool = cls._taken(folder, lock)
        except BaseException:
            lock.release()
            raise
        if spool is None:
            let_go(folder, lock)
        return spool

    @classmethod
    def _taken(cls, folder: Path, lock: FileLock) -> Spool | None:
        header = header_of(folder)
        if header is None:  # gone meanwhile, or its process died while it made it
            shutil.rmtree(folder, ignore_errors=True)
            return None
        spool = cls(folder, header, lock)
        spool._cut_tail()
        return spool

    def append(self, kind: str, body: Mapping[str, Any], files: WriteFiles | None = None, at_ms: int = 0) -> None:
        """Write one record down; it never raises for a full disk: lines wait for room, their files are left out."""
        with self._guard:
            if self.removed:
                return
            number, self._next = self._next, self._next + 1
            told: dict[str, Any] = {"n": number, "kind": kind, "at_ms": at_ms or now_ms(), "body": dict(body)}
            if files is not None and not self._wrote(files, number):
                return
            self._waiting.append(json.dumps(told, separators=(",", ":"), default=_plain).encode() + b"\n")
            self._write_waiting()

    def unsent(self, limit: int = BATCH) -> list[Record]:
        """The oldest records that were not marked, in order; a line that cannot be read is passed over."""
        with self._guard:
            self._write_waiting()
            size = self._size
        found: list[Record] = []
        with (self.folder / RECORDS).open("rb") as file:
            file.seek(self._sent)
            while len(found) < limit and file.tell() < size:
                line = file.readline()
                try:
                    found.append(Record.model_validate({**json.loads(line), "ends_at": file.tell()}))
                except (ValueError, TypeError):
                    LOGGER.warning("%s: a line of %s cannot be read, and is passed over", self.folder, RECORDS)
                    if not found:
                        self._sent = file.tell()
        return found

    def mark(self, record: Record) -> None:
        """Say that everything up to a record was sent; its files go."""
        self._sent = record.ends_at
        with suppress(OSError):  # a full disk: the next process sends it again, which changes nothing
            write_small(self.folder / SENT, json.dumps({"bytes": record.ends_at, "n": record.n}))
        shutil.rmtree(self.files(record), ignore_errors=True)

    def files(self, record: Record) -> Path:
        """The folder of a record's files."""
        return self.folder / FILES / str(record.n)

    @property
    def drained(self) -> bool:
        """Whether all that was told was sent."""
        with self._guard:
            return self.removed or (not self._waiting and self._sent >= self._size)

    def told_last_ms(self) -> int:
        """When the last record was told (ms since 1970); when the step began, without one."""
        with suppress(OSError, ValueError, IndexError), (self.folder / RECORDS).open("rb") as file:
            file.seek(max(0, self._size - TAIL_BYTES))
            return Record.model_validate_json(file.read().splitlines()[-1]).at_ms
        return self.header.at_ms

    def sync(self) -> None:
        """Force to the disk what was appended."""
        with self._guard:
            if self._dirty and not self.removed:
                os.fsync(self._fd)
                self._dirty = False

    def remove(self) -> None:
        """Delete the folder: everything was sent."""
        with self._guard:
            self._close()
            shutil.rmtree(self.folder, ignore_errors=True)
        let_go(self.folder, self._lock)

    def release(self) -> None:
        """Leave the folder to whoever replays it."""
        with self._guard:
            self._close()
        self._lock.release()

    def _close(self) -> None:
        if not self.removed:
            os.close(self._fd)
        self.removed = True

    def _wrote(self, files: WriteFiles, number: int) -> bool:
        folder = self.folder / FILES / str(number)
        try:
            folder.mkdir(parents=True)
            files(folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            LOGGER.warning("%s: not kept for MLflow: %s", self.header.id, error)
            return False
        return True

    def _write_waiting(self) -> None:
        """Append what waits, whole lines only; what finds no room waits on."""
        while self._waiting and not self.removed:
            line = self._waiting[0]
            try:
                if os.pwrite(self._fd, line, self._size) < len(line):
                    raise OSError("no room for a whole line")
            except OSError as error:
                os.ftruncate(self._fd, self._size)
                if not self._told_full:
                    LOGGER.warning("%s cannot be written (%s): what is told to MLflow waits", self.folder, error)
                    self._told_full = True
                return
            self._size, self._dirty, self._told_full = self._size + len(line), True, False
            self._waiting.pop(0)

    def _cut_tail(self) -> None:
        """Drop a line that a kill cut off in its middle."""
        content = (self.folder / RECORDS).read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._fd, whole)
        self._size = whole
        if self._sent > whole:
            self._sent = 0  # the disk lost what came after the mark: sending twice changes nothing


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    return value.item() if hasattr(value, "item") else str(value)
