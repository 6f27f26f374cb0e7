"""Whether the ledger is as it was written: chain, payloads, signatures, look-up tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestration.store import database, envelope, keys, ledger

What = Literal["missing", "unlinked", "altered", "columns", "unsigned", "untrusted", "index"]
_COLUMNS = ("seq", "prev", "kind", "subject", "at")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the entry `seq`."""

    seq: int
    what: What
    sentence: str


def faults(root: Path, trusted: Mapping[str, bytes] | None = None) -> list[Fault]:
    """Everything that is wrong with the ledger, by entry; empty when it is as its signers wrote it.

    `trusted`: public PEM by key id; by default the keys that this checkout trusts.
    """
    known = keys.trusted_keys(root) if trusted is None else trusted
    return [*_entry_faults(root, known), *_index_faults(root)]


def verify_chain(root: Path) -> list[str]:
    """The sentences of `faults`."""
    return [fault.sentence for fault in faults(root)]


def _entry_faults(root: Path, trusted: Mapping[str, bytes]) -> Iterator[Fault]:
    prev_hash, expected = ledger.GENESIS, 1
    for row in ledger.rows(root):
        seq, prev, own_hash, _, subject, _, payload, signatures = row
        name = f"entry {seq} ({subject})"
        for number in range(expected, seq):
            yield Fault(number, "missing", f"entry {number} is missing: the next one is {seq}")
        if prev != prev_hash and seq == expected:
            yield Fault(seq, "unlinked", f"{name} does not follow the entry before it")
        if own_hash != ledger.entry_hash(seq, prev, hashlib.sha256(payload.encode()).hexdigest()):
            yield Fault(seq, "altered", f"{name} was changed after it was written")
        elif _columns(payload) != (seq, prev, *row[3:6]):
            yield Fault(seq, "columns", f"{name}: its columns are not what its signed payload says")
        yield from _signature_faults(seq, name, payload.encode(), signatures, trusted)
        prev_hash, expected = own_hash, seq + 1


def _columns(payload: str) -> tuple[Any, ...] | None:
    try:
        said = json.loads(payload)["predicate"]
        return tuple(said[column] for column in _COLUMNS)
    except (ValueError, KeyError, TypeError):
        return None


def _signature_faults(
    seq: int, name: str, payload: bytes, signatures: str, trusted: Mapping[str, bytes]
) -> Iterator[Fault]:
    try:
        found = [{"keyid": str(one["keyid"]), "sig": str(one["sig"])} for one in json.loads(signatures)]
    except (ValueError, KeyError, TypeError):
        found = []
    if envelope.signers(payload, found, trusted):
        return
    by = ", ".join(one["keyid"][:12] for one in found)
    if not found:
        yield Fault(seq, "unsigned", f"{name} is not signed")
    elif any(one["keyid"] in trusted for one in found):
        yield Fault(seq, "unsigned", f"{name}: its signature by {by} is not good")
    else:
        yield Fault(seq, "untrusted", f"{name} is signed by {by}, a key that this checkout does not trust")


def _index_faults(root: Path) -> Iterator[Fault]:
    """Rows of the look-up tables that no entry stands for, and those that are missing."""
    if not database.exists(root):
        return
    wanted: set[tuple[str, tuple[Any, ...]]] = set()
    for row in ledger.rows(root):
        try:
            said = json.loads(row[6])["predicate"]
            wanted.update(ledger.index_rows(said["kind"], said["subject"], said["seq"], said["body"]))
        except (ValueError, KeyError, TypeError):
            continue  # told as altered already
    with database.reading(root) as connection:
        found = {
            (table, tuple(row))
            for table in ("made", "uses", "reused")
            for row in connection.execute(f"SELECT * FROM {table}").fetchall()
        }
    for table, values in sorted(wanted ^ found, key=repr):
        yield Fault(int(values[0]), "index", f"entry {values[0]}: the look-up table `{table}` does not agree with it")
