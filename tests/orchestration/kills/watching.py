"""A look at published payloads from outside, again and again, while runs are killed."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestration.graph import AssetId, expand
from orchestration.store.payload import PayloadError, digest_payload, payload_files
from orchestration.workspace import Workspace

ABSENT = "absent"
LOOK_EVERY_S = 0.02

Signature = tuple[int, tuple[tuple[str, int, int], ...]]


class Watcher:
    """Polls every payload's place from a thread of its own, and keeps each version that it found there.

    A version is a Merkle root, `absent`, or what makes of the bytes there no payload.
    """

    def __init__(self, ws: Workspace) -> None:
        self.places = {i: ws.root / i.path for i in expand(tuple(ws.params().attributes))}
        self.seen: defaultdict[AssetId, set[str]] = defaultdict(set)
        self.looks = 0
        self._known: dict[AssetId, tuple[Signature, str]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._look_at_all()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._look_at_all()

    def half_published(self, allowed: Mapping[AssetId, frozenset[str]]) -> list[str]:
        """What stood in a payload's place and is none of the versions that may."""
        return [
            f"{asset_id}: {version}"
            for asset_id, versions in list(self.seen.items())
            for version in sorted(versions - allowed[asset_id])
        ]

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self._look_at_all()

    def _look_at_all(self) -> None:
        for asset_id, place in self.places.items():
            version = self._look(asset_id, place)
            if version is not None:
                self.seen[asset_id].add(version)
        self.looks += 1

    def _look(self, asset_id: AssetId, place: Path) -> str | None:
        """What stands there now; None where another payload took its place while this looked."""
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return ABSENT
        try:
            version = self._version(asset_id, descriptor)
            return version if _still_there(place, descriptor) else None
        finally:
            os.close(descriptor)

    def _version(self, asset_id: AssetId, descriptor: int) -> str:
        # By the descriptor, which stays with the directory that was opened, whatever is swapped in meanwhile.
        folder = Path(f"/proc/self/fd/{descriptor}")
        try:
            signature = _signature(folder, descriptor)
            known = self._known.get(asset_id)
            if known is None or known[0] != signature:
                known = self._known[asset_id] = (signature, digest_payload(folder).root)
            return known[1]
        except (PayloadError, OSError) as error:
            return f"no payload: {error}"


def _signature(folder: Path, descriptor: int) -> Signature:
    found = ((path, path.stat()) for path in payload_files(folder))
    files = tuple((path.relative_to(folder).as_posix(), s.st_size, s.st_mtime_ns) for path, s in found)
    return os.fstat(descriptor).st_ino, files


def _still_there(place: Path, descriptor: int) -> bool:
    try:
        return place.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
