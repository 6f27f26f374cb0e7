"""The ledger: append-only, hash-chained, one line for everything that was ever published."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.graph import AssetId
from orchestration.store import database
from orchestration.store.records import Materialization

MATERIALIZATION = "materialization"
GENESIS = "0" * 64
_DOMAIN = b"editloom-ledger-entry\0"
_COLUMNS = "seq, prev_hash, entry_hash, kind, subject, at, json, signature"

Sign = Callable[[str], str]
"""Turns an entry's hash into a signature; entries are unsigned until one is given."""


@dataclass(frozen=True)
class LedgerEntry:
    """One line of the ledger. `subject` is what it speaks of: an asset id, for a materialization."""

    seq: int
    prev_hash: str
    entry_hash: str
    kind: str
    subject: str
    at: str
    body: Mapping[str, Any]
    signature: str | None = None

    @property
    def materialization(self) -> Materialization:
        """The body of a materialization; pydantic's ValidationError for another kind."""
        return Materialization.model_validate(self.body)


def append(
    connection: sqlite3.Connection,
    kind: str,
    subject: str,
    body: Mapping[str, Any],
    intent: str | None = None,
    sign: Sign | None = None,
) -> LedgerEntry:
    """Add an entry inside a transaction of `database.writing`, which holds the write lock."""
    last = connection.execute("SELECT seq, entry_hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    seq, prev_hash = (last[0] + 1, last[1]) if last else (1, GENESIS)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    text = canonical(body)
    entry_hash = _entry_hash(seq, prev_hash, kind, subject, at, text)
    signature = sign(entry_hash) if sign else None
    row = (seq, prev_hash, entry_hash, kind, subject, at, text, signature)
    connection.execute(f"INSERT INTO entry ({_COLUMNS}, intent) VALUES (?,?,?,?,?,?,?,?,?)", (*row, intent))
    return _entry(row)


def entries(root: Path, subject: str | None = None) -> list[LedgerEntry]:
    """Every entry in order, or those of one subject."""
    condition = "" if subject is None else " WHERE subject = ?"
    return _select(root, f"{condition} ORDER BY seq", () if subject is None else (subject,))


def last_entry(root: Path, asset: str, partition: str | None = None) -> LedgerEntry | None:
    """The latest materialization of an asset (or partition), or None when it was never made."""
    condition = " WHERE subject = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
    found = _select(root, condition, (str(AssetId(asset, partition)), MATERIALIZATION))
    return found[0] if found else None


def entry_of_intent(connection: sqlite3.Connection, intent: str) -> LedgerEntry | None:
    """The entry that an intent already led to, if it did."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM entry WHERE intent = ?", (intent,)).fetchone()
    return _entry(row) if row else None


def verify_chain(root: Path) -> list[str]:
    """What is wrong with the chain, one sentence each; empty when every entry is as it was written."""
    problems, prev_hash, expected = [], GENESIS, 1
    for row in _rows(root, " ORDER BY seq", ()):
        seq, prev, entry_hash, kind, subject, at, text, _ = row
        if seq != expected:
            problems.append(f"entry {expected} is missing: the next one is {seq}")
        if prev != prev_hash:
            problems.append(f"entry {seq} does not follow the entry before it")
        if entry_hash != _entry_hash(seq, prev, kind, subject, at, text):
            problems.append(f"entry {seq} ({subject}) was changed after it was written")
        prev_hash, expected = entry_hash, seq + 1
    return problems


def canonical(body: Mapping[str, Any]) -> str:
    """JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _entry_hash(seq: int, prev_hash: str, kind: str, subject: str, at: str, text: str) -> str:
    head = canonical({"seq": seq, "prev_hash": prev_hash, "kind": kind, "subject": subject, "at": at})
    return hashlib.sha256(_DOMAIN + head.encode() + b"\0" + text.encode()).hexdigest()


def _select(root: Path, condition: str, values: tuple[str, ...]) -> list[LedgerEntry]:
    return [_entry(row) for row in _rows(root, condition, values)]


def _rows(root: Path, condition: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
    if not database.exists(root):
        return []
    with database.reading(root) as connection:
        return connection.execute(f"SELECT {_COLUMNS} FROM entry{condition}", values).fetchall()


def _entry(row: tuple[Any, ...]) -> LedgerEntry:
    seq, prev_hash, entry_hash, kind, subject, at, text, signature = row
    return LedgerEntry(seq, prev_hash, entry_hash, kind, subject, at, json.loads(text), signature)
