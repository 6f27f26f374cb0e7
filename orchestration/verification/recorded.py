"""The ledger read once, as far as it can be read: a verification goes on where an entry was spoiled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestration.graph import GRAPH, AssetId
from orchestration.store import ledger
from orchestration.store.ledger import Head, LedgerEntry
from orchestration.store.records import Materialization

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Made:
    """A materialization with the entry that holds it."""

    entry: LedgerEntry
    body: Materialization

    @property
    def id(self) -> AssetId:
        return self.body.wanted.id

    @property
    def version(self) -> str:
        return self.body.data_version

    @property
    def key(self) -> tuple[str, str]:
        """Id and data version: what it is, whoever made it and when."""
        return str(self.id), self.version

    @property
    def name(self) -> str:
        """Id and the first digits of the version."""
        return f"{self.id}@{self.version[:SHOWN_DIGITS]}"


@dataclass(frozen=True)
class Recorded:
    """Every entry that can be read, in order; `head` and `hashes` are of the rows as they stand."""

    entries: tuple[LedgerEntry, ...]
    made: Mapping[str, tuple[Made, ...]]
    hashes: frozenset[str]
    head: Head | None

    def of_kind(self, kind: str) -> tuple[LedgerEntry, ...]:
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def last(self, subject: str) -> Made | None:
        """The newest materialization of an id."""
        found = self.made.get(subject, ())
        return found[-1] if found else None

    def versions(self, subject: str) -> tuple[Made, ...]:
        """Each version of an id by its newest materialization, the newest version last."""
        newest = {one.version: one for one in self.made.get(subject, ())}
        return tuple(sorted(newest.values(), key=lambda one: one.entry.seq))

    @cached_property
    def by_hash(self) -> Mapping[str, Made]:
        """The materializations by entry hash."""
        return {one.entry.entry_hash: one for several in self.made.values() for one in several}


@dataclass(frozen=True)
class Scope:
    """What is to be verified: these versions by id, or, with None, everything."""

    keys: frozenset[tuple[str, str]] | None = None

    def covers(self, made: Made | None) -> bool:
        return self.keys is None or (made is not None and made.key in self.keys)

    def chosen(self, made: Iterable[Made]) -> tuple[Made, ...]:
        return tuple(one for one in made if self.covers(one))


def read_ledger(root: Path) -> Recorded:
    """The entries by their signed payloads, not by the columns beside them; what cannot be read is passed over."""
    rows = ledger.rows(root)
    entries = tuple(entry for row in rows if (entry := _entry(row)) is not None)
    made: dict[str, list[Made]] = {}
    for entry in entries:
        one = _made(entry) if entry.kind == ledger.MATERIALIZATION else None
        if one is not None:
            made.setdefault(str(one.id), []).append(one)
    head = Head(int(rows[-1][0]), str(rows[-1][2])) if rows else None
    return Recorded(entries, {k: tuple(v) for k, v in made.items()}, frozenset(str(row[2]) for row in rows), head)


def _entry(row: tuple[Any, ...]) -> LedgerEntry | None:
    seq, prev_hash, own_hash, _, _, at, payload, signatures = row
    try:
        said = json.loads(payload)["predicate"]
        signed = tuple(json.loads(signatures))
        known = str(said["kind"]), str(said["subject"]), str(at), dict(said["body"])
    except (ValueError, KeyError, TypeError):
        return None
    return LedgerEntry(seq, prev_hash, own_hash, *known, payload.encode(), signed)


def _made(entry: LedgerEntry) -> Made | None:
    try:
        body = entry.materialization
    except ValueError:  # pydantic's ValidationError
        return None
    return Made(replace(entry, subject=str(body.wanted.id)), body) if body.wanted.asset in GRAPH else None
