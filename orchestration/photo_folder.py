"""The photographs of an ingest folder as one digest, so that a data drop is a changed input."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.photo_files import find_photos, is_there
from orchestration.sections import Ingest

FOLDER = Path(".editloom", "photographs")
_DOMAIN = b"editloom-photographs-v1\0"
_SAVE_EVERY_S = 5.0

Stamp = tuple[int, int, int, int]
"""Size, times of change (of content and of inode, in ns) and inode of a file: while they stay, so do its bytes."""
Seen = dict[str, tuple[Stamp, str]]
"""Stamp and sha256 by name."""


@dataclass(frozen=True)
class _Listing:
    """The files of a source as they stand: path and stamp by name, in name order."""

    files: Mapping[str, tuple[str, Stamp]]
    cache: Path

    @property
    def digest(self) -> str:
        """Over names and stamps: while it stays, nothing needs to be compared one by one."""
        return hashlib.sha256(repr([(name, stamp) for name, (_, stamp) in self.files.items()]).encode()).hexdigest()


def photographs_digest(root: Path, ingest: Ingest) -> str | None:
    """sha256 (hex) over name and bytes of every photograph and sidecar of an ingest folder of the workspace `root`.

    None where the folder is not there. Only files that changed since the last look are read.
    """
    listing = _listing(root, ingest)
    if listing is None:
        return None
    summary, stands = listing.cache.with_suffix(".digest"), listing.digest
    known = summary.read_text().split() if summary.is_file() else []
    if len(known) == 2 and known[0] == stands:
        return known[1]
    digest = hashlib.sha256(_DOMAIN)
    for name, sha256 in _hashed(listing, None).items():
        digest.update(f"{name}\0{sha256}\n".encode())
    _write(summary, f"{stands} {digest.hexdigest()}")
    return digest.hexdigest()


def photograph_hashes(root: Path, ingest: Ingest, until: float | None = None) -> Mapping[str, str]:
    """sha256 (hex) by name of every photograph and sidecar; none where the folder is not there.

    `until` (of `time.monotonic`) is when to leave off: TimeoutError then, and the next call goes on from there.
    """
    listing = _listing(root, ingest)
    return {} if listing is None else _hashed(listing, until)


def _listing(root: Path, ingest: Ingest) -> _Listing | None:
    source = str(root / str(ingest.path))
    if not is_there(source):
        return None
    named = hashlib.sha256(f"{source}\0{ingest.sidecar}".encode()).hexdigest()
    stamped = ((name, path, _stamp(path)) for name, path in _named(root, ingest, source))
    files = {name: (path, stamp) for name, path, stamp in stamped if stamp is not None}
    return _Listing(files, root / FOLDER / f"{named[:16]}.json")


def _named(root: Path, ingest: Ingest, source: str) -> Iterator[tuple[str, str]]:
    """(name, path) in name order: the photographs, then what speaks of them."""
    sidecar = root / ingest.sidecar if ingest.sidecar else None
    found = find_photos(source, sidecar)
    yield from found.photos.items()
    yield from found.sidecars.items()
    if sidecar is not None and sidecar.is_file():
        yield "sidecar:", str(sidecar)


def _hashed(listing: _Listing, until: float | None) -> dict[str, str]:
    known, now, saved = _recall(listing.cache), Seen(), time.monotonic()
    for name, (path, stamp) in listing.files.items():
        seen = known.get(name)
        if seen is None or seen[0] != stamp:
            late = until is not None and time.monotonic() > until
            if late or time.monotonic() - saved > _SAVE_EVERY_S:
                _save(listing.cache, known | now)
                saved = time.monotonic()
            if late:
                raise TimeoutError(f"{len(now):,} of {len(listing.files):,} photographs were read")
            seen = stamp, _sha256(path)
        now[name] = seen
    if now != known:
        _save(listing.cache, now)
    return {name: sha256 for name, (_, sha256) in now.items()}


def _stamp(path: str) -> Stamp | None:
    """None of a file that went while one looked."""
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _sha256(path: str) -> str:
    """What the file holds; a file that cannot be read is known as such, as ingest quarantines it."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def _recall(cache: Path) -> Seen:
    try:
        known = json.loads(cache.read_bytes())
        return {name: ((stamp[0], stamp[1], stamp[2], stamp[3]), sha256) for name, (stamp, sha256) in known.items()}
    except (OSError, ValueError, TypeError, IndexError, AttributeError):
        return {}


def _save(cache: Path, seen: Seen) -> None:
    _write(cache, json.dumps(seen))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_text(text)
    fresh.replace(path)
