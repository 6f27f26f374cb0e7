"""Checkpoints on their way: a node sends each complete state of a step's working directory, another takes it up."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import UserError
from orchestration.compute.usage import USAGE_FILE
from orchestration.ray_cluster.request import FileRef
from orchestration.ray_cluster.store import AttemptStore, file_sha256
from orchestration.store.staging import remove

PUSH_EVERY_S = 1.0
KEPT = 2
LINK_TRIES = 5
UNFINISHED = frozenset({".part", ".partial", ".tmp"})
_NAME = "checkpoint-"
LOGGER = logging.getLogger(__name__)

Listing = Mapping[str, tuple[int, int]]
"""Relative path → size in bytes and time of the last change in ns."""


def restore(store: AttemptStore, workdir: Path) -> int:
    """Lay the newest complete checkpoint out in an empty `workdir`; returns its number, 0 where there is none.

    One that lacks a file, or has a damaged one, is passed over. Raises UserError when the store does not answer.
    """
    for number in reversed(_numbers(store)):
        try:
            store.fetch_tree(_index(store, number), workdir)
            return number
        except UserError as error:
            LOGGER.warning("checkpoint %d cannot be taken up, the one before it is tried: %s", number, error)
            remove(workdir)
            workdir.mkdir(parents=True)
    return 0


@dataclass
class Pusher:
    """Sends `workdir` to the store whenever it changed; a checkpoint's list of files is written last.

    A state counts when every file of it was whole: training replaces files atomically, and those that are still
    being written have a name of their own, or changed while they were read. `spool` is a folder beside `workdir`.
    """

    store: AttemptStore
    workdir: Path
    spool: Path
    on_pushed: Callable[[int], None] = lambda number: None
    _known: dict[tuple[str, int, int], FileRef] = field(default_factory=dict)
    _pushed: Listing = field(default_factory=dict)
    _number: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Send in a thread from now on; a store that is away is asked again later, and training goes on."""
        self._pushed = _listing(self.workdir)  # what was restored is there
        self._thread = threading.Thread(target=self._push_on, name="checkpoints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it is sending is sent."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def push(self) -> bool:
        """Send the present state if it is whole and new; raises UserError when the store does not answer."""
        listing = self._linked()
        if listing is None or _without_usage(listing) == _without_usage(self._pushed):
            return False
        refs = [self._ref(path, *signature) for path, signature in listing.items()]
        for ref in refs:
            self.store.objects.push(self.spool / ref.path, ref.sha256)
        if _listing(self.spool) != listing:  # a file was written on in its place
            return False
        self._write_index(refs)
        self._pushed = listing
        return True

    def _push_on(self) -> None:
        while not self._ended.wait(PUSH_EVERY_S):
            try:
                self.push()
            except UserError as error:
                LOGGER.warning("the checkpoint waits for the store: %s", error)
            except FileNotFoundError:  # the folder goes: the step is at its end
                continue

    def _linked(self) -> Listing | None:
        """One state of the working directory, its files held by links in the spool; None where it moves too fast."""
        for _ in range(LINK_TRIES):
            remove(self.spool)
            self.spool.mkdir(parents=True)
            listing = _listing(self.workdir)
            with suppress(FileNotFoundError):
                for path in listing:
                    _link(self.workdir / path, self.spool / path)
                if _listing(self.spool) == listing:
                    return listing or None
        return None

    def _ref(self, path: str, size_bytes: int, changed_ns: int) -> FileRef:
        key = (path, size_bytes, changed_ns)
        if key not in self._known:
            self._known[key] = FileRef(path=path, sha256=file_sha256(self.spool / path), size_bytes=size_bytes)
        return self._known[key]

    def _write_index(self, refs: list[FileRef]) -> None:
        """A number that nobody took; then what only older checkpoints hold goes."""
        content = json.dumps([ref.model_dump() for ref in refs]).encode()
        number = (self._number or max(_numbers(self.store), default=0)) + 1
        while not self.store.place.create(_path(self.store, number), content):
            number += 1
        self._number = number
        self.on_pushed(number)
        numbers = _numbers(self.store)
        old, kept = numbers[:-KEPT], numbers[-KEPT:]
        needed = {ref.sha256 for known in kept for ref in _index(self.store, known)}
        gone = {ref.sha256 for known in old for ref in _index(self.store, known)} - needed
        for known in old:
            self.store.place.delete(_path(self.store, known))
        self.store.objects.drop(sorted(gone))


def _numbers(store: AttemptStore) -> list[int]:
    names = (name for name in store.place.names(store.folder) if name.startswith(_NAME))
    return sorted(int(name.removeprefix(_NAME).removesuffix(".json")) for name in names)


def _index(store: AttemptStore, number: int) -> list[FileRef]:
    return [FileRef(**row) for row in json.loads(store.place.read(_path(store, number)))]


def _path(store: AttemptStore, number: int) -> str:
    return f"{store.folder}/{_NAME}{number:08d}.json"


def _listing(folder: Path) -> Listing:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in UNFINISHED or path.name.startswith("."):
            continue
        with suppress(FileNotFoundError):
            if path.is_file():
                stat = path.stat()
                found[path.relative_to(folder).as_posix()] = (stat.st_size, stat.st_mtime_ns)
    return found


def _without_usage(listing: Listing) -> Listing:
    """What a step used changes every few seconds; it travels with the next checkpoint."""
    return {path: signature for path, signature in listing.items() if path != USAGE_FILE}


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a disk without links
        shutil.copy2(source, target)
