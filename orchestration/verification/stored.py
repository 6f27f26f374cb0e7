"""What DVC's cache holds of a version, each object hashed once, and which objects were purged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from orchestration.consent.removal import PurgePlan
from orchestration.store import dvc
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import FileDigest, PayloadError, digest_file, digest_payload, payload_root
from orchestration.verification.recorded import SHOWN_DIGITS, Made

Condition = Literal["whole", "altered", "incomplete", "gone"]


@dataclass(frozen=True)
class Listing:
    """DVC's list of a version's files: md5 by path. `good`: it has the hash by which the ledger names it."""

    md5s: Mapping[str, str]
    good: bool


@dataclass(frozen=True)
class Stored:
    """A version in the cache. `gone`: not even its listing is there; `files` are those that are, with both hashes."""

    condition: Condition
    altered: tuple[str, ...] = ()
    missing: Mapping[str, str] | None = None
    files: tuple[FileDigest, ...] = ()


@dataclass(frozen=True)
class Purges:
    """Objects of the cache that were removed, by md5, and versions from which something was, with the entry."""

    objects: Mapping[str, LedgerEntry]
    versions: Mapping[str, LedgerEntry]
    sha256s: Mapping[str, str]

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> Purges:
        """Read off the entries of kind `purge`; one that cannot be read is told as altered elsewhere."""
        objects: dict[str, LedgerEntry] = {}
        versions: dict[str, LedgerEntry] = {}
        sha256s: dict[str, str] = {}
        for entry in entries:
            try:
                plan = PurgePlan.model_validate(entry.body)
            except ValueError:
                continue
            versions.update({one.version: entry for one in plan.versions})
            objects.update({one.md5: entry for one in plan.removed if one.md5})
            sha256s.update({one.md5: one.sha256 for one in plan.removed if one.md5 and one.sha256})
        return cls(objects, versions, sha256s)

    def receipt(self, made: Made, missing: Mapping[str, str] | None) -> LedgerEntry | None:
        """The purge that took all that is missing of a version; None where something is missing for another reason."""
        if missing is None:
            return self.versions.get(made.version) or self.objects.get(made.body.dvc_md5.removesuffix(".dir"))
        found = [self.objects.get(md5) for md5 in missing.values()]
        return found[-1] if found and all(one is not None for one in found) else None


class Objects:
    """DVC's cache of a workspace."""

    def __init__(self, root: Path) -> None:
        self._store = dvc.cache_dir(root)
        self._known: dict[str, FileDigest | None] = {}

    def listing(self, dvc_md5: str) -> Listing | None:
        """The listing of a directory (`….dir`); None when it is not there, or is no listing at all."""
        path = self._path(dvc_md5)
        if not path.is_file():
            return None
        try:
            md5s = {str(one["relpath"]): str(one["md5"]) for one in json.loads(path.read_bytes())}
        except (ValueError, KeyError, TypeError):
            return Listing({}, good=False)
        return Listing(md5s, digest_file(self._store, path).md5 == dvc_md5.removesuffix(".dir"))

    def digest(self, md5: str) -> FileDigest | None:
        """The hashes that an object really has; None when it is not there."""
        if md5 not in self._known:
            path = self._path(md5)
            self._known[md5] = digest_file(self._store, path) if path.is_file() else None
        return self._known[md5]

    def version(self, made: Made, purges: Purges) -> Stored:
        """Everything that the cache holds of a version, held against the ledger's md5 and Merkle root."""
        listing = self.listing(made.body.dvc_md5)
        if listing is None:
            return Stored("gone")
        if not listing.good:
            return Stored("altered", ("DVC's listing of its files",))
        found = {path: self.digest(md5) for path, md5 in listing.md5s.items()}
        missing = {path: listing.md5s[path] for path, one in found.items() if one is None}
        files = tuple(replace(one, path=path) for path, one in sorted(found.items()) if one is not None)
        altered = tuple(one.path for one in files if one.md5 != listing.md5s[one.path])
        whole = _whole(files, missing, purges)
        if not altered and whole is not None and payload_root(whole) != made.version:
            altered = ("the listing names other files than the ledger's root covers",)
        condition: Condition = "altered" if altered else "incomplete" if missing else "whole"
        return Stored(condition, altered, missing, files)

    def _path(self, md5: str) -> Path:
        return self._store / md5[:2] / md5[2:]


def file_digests(root: Path, made: Made, purges: Purges) -> list[FileDigest] | None:
    """The files of a version as its root covers them, in their place or in the cache; None where one is unknown."""
    try:
        digest = digest_payload(root / made.id.path)
    except (PayloadError, OSError):
        digest = None
    if digest is not None and digest.root == made.version:
        return list(digest.files)
    stored = Objects(root).version(made, purges)
    whole = _whole(stored.files, stored.missing, purges) if stored.missing is not None else None
    return whole if whole is not None and payload_root(whole) == made.version else None


def receipt_name(entry: LedgerEntry) -> str:
    """How a purge is called: by the entry that is its receipt."""
    return f"receipt {entry.entry_hash[:SHOWN_DIGITS]} (ledger entry {entry.seq})"


def _whole(files: tuple[FileDigest, ...], missing: Mapping[str, str], purges: Purges) -> list[FileDigest] | None:
    """All files of a version, the purged ones by the digests that their receipt keeps; None when some are unknown."""
    if not all(md5 in purges.sha256s for md5 in missing.values()):
        return None
    gone = [FileDigest(path, 0, purges.sha256s[md5], md5) for path, md5 in missing.items()]
    return [*files, *gone]
