"""The ledger: append-only, hash-chained and signed; one entry for everything that was ever published or decided."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from data import fail_points
from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.store import database, envelope
from orchestration.store.envelope import Signatures
from orchestration.store.keys import signing_key
from orchestration.store.records import Materialization

MATERIALIZATION, REUSE, DECISION, RELEASE = "materialization", "reuse", "decision", "release"
CONSENT, PURGE = "consent", "purge"
GENESIS = "0" * 64
_DOMAIN = b"editloom-ledger-entry-v2\0"
_COLUMNS = "seq, prev_hash, entry_hash, kind, subject, at, payload, signatures"
FoundBy = Literal["data_version", "dvc_md5", "dagster_run", "mlflow_run"]
Query = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Head:
    """The newest entry: who knows it knows that no entry before it was changed or dropped."""

    seq: int
    entry_hash: str


@dataclass(frozen=True)
class LedgerEntry:
    """One entry. `subject` is what it speaks of: an asset id, for a materialization; `payload` is what was signed."""

    seq: int
    prev_hash: str
    entry_hash: str
    kind: str
    subject: str
    at: str
    body: Mapping[str, Any]
    payload: bytes
    signatures: Signatures

    @property
    def materialization(self) -> Materialization:
        """The body of a materialization; pydantic's ValidationError for another kind."""
        return Materialization.model_validate(self.body)

    @property
    def envelope(self) -> dict[str, Any]:
        """The entry as a DSSE envelope."""
        return envelope.envelope(self.payload, self.signatures)


def append(
    root: Path,
    connection: sqlite3.Connection,
    kind: str,
    subject: str,
    body: Mapping[str, Any],
    intent: str | None = None,
    digests: Mapping[str, str] | None = None,
) -> LedgerEntry:
    """Sign and add an entry inside a transaction of `database.writing`, which holds the write lock.

    `digests` identify the subject; by default its data version, or else what is said of it. Raises UserError without a
    signing key.
    """
    key = signing_key(root)
    last = _head(connection)
    seq, prev_hash = (last.seq + 1, last.entry_hash) if last else (1, GENESIS)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    said = {"seq": seq, "prev": prev_hash, "kind": kind, "subject": subject, "at": at, "body": dict(body)}
    payload = envelope.statement(subject, digests or envelope.digests_of(body), said)
    signatures = envelope.sign(payload, key)
    fail_points.reach(f"{kind}-signed")
    return _insert(connection, payload, signatures, intent)


def import_entries(root: Path, envelopes: Sequence[Mapping[str, Any]]) -> list[LedgerEntry]:
    """Append entries that were written elsewhere, as they are, all of them or none.

    Their signatures are not looked at: `verify` says whom they are by. Raises UserError where they do not follow this
    ledger's head.
    """
    made = []
    with database.writing(root) as connection:
        for number, document in enumerate(envelopes, start=1):
            try:
                payload, signatures = envelope.payload_of(document)
                said = json.loads(payload)["predicate"]
            except (ValueError, KeyError, TypeError) as error:
                hint = "The ledger here is unchanged."
                raise UserError(f"Envelope {number} of the other ledger cannot be read: {error}.", hint) from None
            last = _head(connection) or Head(0, GENESIS)
            if (said["seq"], said["prev"]) != (last.seq + 1, last.entry_hash):
                raise UserError(
                    f"Entry {said['seq']} of the other ledger does not follow entry {last.seq} of this one.",
                    "Two workspaces wrote different histories; the ledger here is unchanged.",
                )
            made.append(_insert(connection, payload, signatures, None))
    return made


def entries(root: Path, subject: str | None = None, kind: str | None = None) -> list[LedgerEntry]:
    """Every entry in order, or those of one subject or kind."""
    named = {"subject": subject, "kind": kind}
    chosen = {column: value for column, value in named.items() if value is not None}
    condition = " AND ".join(f"{column} = ?" for column in chosen)
    return _select(root, f"{'WHERE ' if chosen else ''}{condition} ORDER BY seq", tuple(chosen.values()))


def last_entry(root: Path, asset: str, partition: str | None = None) -> LedgerEntry | None:
    """The latest materialization of an asset (or partition), or None when it was never made."""
    condition = "WHERE subject = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
    found = _select(root, condition, (str(AssetId(asset, partition)), MATERIALIZATION))
    return found[0] if found else None


def entry_at(root: Path, seq: int) -> LedgerEntry | None:
    """The entry of a number, or None beyond the end."""
    found = _select(root, "WHERE seq = ?", (seq,))
    return found[0] if found else None


def entries_of_hash(root: Path, prefix: str) -> list[LedgerEntry]:
    """The entries whose hash begins with `prefix`."""
    return _select(root, "WHERE entry_hash >= ? AND entry_hash < ? ORDER BY seq", _range(prefix))


def head(root: Path) -> Head | None:
    """The newest entry's number and hash, or None for an empty ledger."""
    if not database.exists(root):
        return None
    with database.reading(root) as connection:
        return _head(connection)


def makers(root: Path, subject: str, data_version: str) -> list[LedgerEntry]:
    """The materializations of exactly this version, oldest first."""
    condition = "WHERE seq IN (SELECT seq FROM made WHERE data_version = ? AND subject = ?) ORDER BY seq"
    return _select(root, condition, (data_version, subject))


def users(root: Path, subject: str, data_version: str) -> list[LedgerEntry]:
    """The materializations that have this version among their inputs, oldest first."""
    condition = "WHERE seq IN (SELECT seq FROM uses WHERE version = ? AND name = ?) ORDER BY seq"
    return _select(root, condition, (data_version, subject))


def found_by(root: Path, column: FoundBy, prefix: str) -> list[LedgerEntry]:
    """The materializations of which a column begins with `prefix`, oldest first."""
    condition = f"WHERE seq IN (SELECT seq FROM made WHERE {column} >= ? AND {column} < ?) ORDER BY seq"
    return _select(root, condition, _range(prefix))


def confirmed(root: Path, entry: LedgerEntry) -> LedgerEntry:
    """A materialization with the inputs under which it was last found to stand still.

    Its own, unless a later run reused it: what reads one part of an image set stands when another part changes.
    """
    condition = "WHERE seq = (SELECT max(seq) FROM reused WHERE entry_hash = ?)"
    found = _select(root, condition, (entry.entry_hash,))
    if not found or found[0].body["inputs"] == entry.body["wanted"]["inputs"]:
        return entry
    wanted = {**entry.body["wanted"], "inputs": found[0].body["inputs"]}
    return replace(entry, body={**entry.body, "wanted": wanted})


def entry_of_intent(connection: sqlite3.Connection, intent: str) -> LedgerEntry | None:
    """The entry that an intent already led to, if it did."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM entry WHERE intent = ?", (intent,)).fetchone()
    return _entry(row) if row else None


def record_reuse(root: Path, reused: Iterable[tuple[LedgerEntry, Mapping[str, str]]], run: str) -> list[LedgerEntry]:
    """Say of materializations that a run found them to stand, each with the inputs that stand now; twice is once."""
    made = []
    with database.writing(root) as connection:
        for entry, inputs in reused:
            key = f"reuse/{run}/{entry.entry_hash}"
            body = {
                "entry": entry.entry_hash,
                "data_version": entry.body["data_version"],
                "inputs": dict(inputs),
                "run": run,
            }
            known = entry_of_intent(connection, key)
            made.append(known or append(root, connection, REUSE, entry.subject, body, key))
    return made


def entry_hash(seq: int, prev_hash: str, payload_sha256: str) -> str:
    """An entry's hash: over its number, the entry before it and its payload's sha256 (hex, like the result).

    So the payloads' digests alone let anybody recompute the whole chain.
    """
    parts = _DOMAIN + seq.to_bytes(8, "big") + bytes.fromhex(prev_hash) + bytes.fromhex(payload_sha256)
    return hashlib.sha256(parts).hexdigest()


def rows(root: Path) -> list[tuple[Any, ...]]:
    """The entries as they stand in the database: seq, prev_hash, entry_hash, kind, subject, at, payload, signatures."""
    return _rows(root, "ORDER BY seq", ())


def _insert(connection: sqlite3.Connection, payload: bytes, signatures: Signatures, intent: str | None) -> LedgerEntry:
    said = json.loads(payload)["predicate"]
    seq, prev_hash = said["seq"], said["prev"]
    own_hash = entry_hash(seq, prev_hash, hashlib.sha256(payload).hexdigest())
    text, signed = payload.decode(), envelope.canonical(list(signatures))
    row = (seq, prev_hash, own_hash, said["kind"], said["subject"], said["at"], text, signed)
    connection.execute(f"INSERT INTO entry ({_COLUMNS}, intent) VALUES (?,?,?,?,?,?,?,?,?)", (*row, intent))
    for table, values in index_rows(said["kind"], said["subject"], seq, said["body"]):
        marks = ",".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
    return _entry(row)


def index_rows(kind: str, subject: str, seq: int, body: Mapping[str, Any]) -> list[tuple[str, tuple[Any, ...]]]:
    """What the look-up tables hold of an entry: (table, row)."""
    if kind == REUSE:
        return [("reused", (seq, body["entry"]))]
    if kind != MATERIALIZATION:
        return []
    known = (body["data_version"], body["dvc_md5"], body["dagster_run"], body["mlflow_run"])
    uses = [("uses", (seq, name, version)) for name, version in sorted(body["wanted"]["inputs"].items())]
    return [("made", (seq, subject, *known)), *uses]


def _range(prefix: str) -> tuple[str, str]:
    """The bounds of all texts that begin with `prefix`."""
    return prefix, prefix + "\U0010ffff"


def _head(connection: sqlite3.Connection) -> Head | None:
    last = connection.execute("SELECT seq, entry_hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(last[0], last[1]) if last else None


def _select(root: Path, condition: str, values: tuple[Any, ...]) -> list[LedgerEntry]:
    return [_entry(row) for row in _rows(root, condition, values)]


def _rows(root: Path, condition: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    if not database.exists(root):
        return []
    with database.reading(root) as connection:
        return connection.execute(f"SELECT {_COLUMNS} FROM entry {condition}", values).fetchall()


def _entry(row: tuple[Any, ...]) -> LedgerEntry:
    seq, prev_hash, own_hash, kind, subject, at, payload, signatures = row
    body = json.loads(payload)["predicate"]["body"]
    signed = tuple(json.loads(signatures))
    return LedgerEntry(seq, prev_hash, own_hash, kind, subject, at, body, payload.encode(), signed)
