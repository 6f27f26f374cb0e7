"""Many entries at once: what was made from what, and bodies that are read only when somebody looks into them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from orchestration.store import database, ledger
from orchestration.store.ledger import LedgerEntry

Version = tuple[str, str]
"""An asset's id and a data version of it."""


class Made(NamedTuple):
    """A materialization by what the look-up tables hold. `newest`: no later one made the same version."""

    seq: int
    subject: str
    data_version: str
    dvc_md5: str
    newest: bool

    @property
    def version(self) -> Version:
        return self.subject, self.data_version


class Use(NamedTuple):
    """One edge: `by` has the version `of` among its inputs."""

    of: Version
    by: Made


class _Body(Mapping[str, Any]):
    """The body of an entry, read at the first look: of ten thousand entries few are looked into."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    @cached_property
    def _read(self) -> Mapping[str, Any]:
        body: Mapping[str, Any] = json.loads(self._payload)["predicate"]["body"]
        return body

    def __getitem__(self, key: str) -> Any:
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


_MADE = "m.seq, m.subject, m.data_version, m.dvc_md5"
_AGAIN = "SELECT subject, data_version, max(seq) FROM made GROUP BY data_version, subject HAVING count(*) > 1"
_USES = f"""SELECT u.name, u.version, {_MADE} FROM json_each(?) AS one
    JOIN uses AS u ON u.version = one.value ->> 1 AND u.name = one.value ->> 0
    JOIN made AS m ON m.seq = u.seq"""
_SUBJECTS = """WITH RECURSIVE known(subject) AS (
    SELECT min(subject) FROM entry
    UNION ALL SELECT (SELECT min(subject) FROM entry WHERE subject > known.subject) FROM known WHERE subject NOTNULL)
    SELECT subject FROM known
    WHERE EXISTS (SELECT 1 FROM entry AS e WHERE e.subject = known.subject AND e.kind = ?)"""
_ENTRIES = "seq, prev_hash, entry_hash, kind, subject, at, payload, signatures"


def subjects(root: Path) -> list[str]:
    """The ids of all assets that were ever materialized, sorted."""
    return [str(row[0]) for row in _rows(root, _SUBJECTS, (ledger.MATERIALIZATION,))]


def made_of(root: Path, subject: str) -> list[Made]:
    """Every materialization of an asset's id, oldest first."""
    condition = "WHERE m.seq IN (SELECT seq FROM entry WHERE subject = ? AND kind = ?) ORDER BY m.seq"
    found = _rows(root, f"SELECT {_MADE} FROM made AS m {condition}", (subject, ledger.MATERIALIZATION))
    newest = {(str(row[1]), str(row[2])): int(row[0]) for row in found}
    return [_made(row, newest) for row in found]


def uses(root: Path, versions: Iterable[Version]) -> list[Use]:
    """Every edge that leads from one of `versions` to what was made from it, in no order."""
    return _uses(root, versions, _made_again(root))


def uses_below(root: Path, versions: Iterable[Version]) -> list[Use]:
    """Every edge below `versions`, however far; one statement a level of the graph."""
    seen, again = set(versions), _made_again(root)
    found, level = [], set(seen)
    while level:
        fresh = _uses(root, level, again)
        found.extend(fresh)
        level = {use.by.version for use in fresh} - seen
        seen |= level
    return found


def entries_at(root: Path, numbers: Iterable[int]) -> list[LedgerEntry]:
    """The entries of these numbers in ledger order."""
    condition = "WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
    found = _rows(root, f"SELECT {_ENTRIES} FROM entry {condition}", (json.dumps(sorted(numbers)),))
    return [_entry(row) for row in found]


def _uses(root: Path, versions: Iterable[Version], again: Mapping[Version, int]) -> list[Use]:
    found = _rows(root, _USES, (json.dumps(sorted(set(versions))),))
    return [Use(row[:2], _made(row[2:], again)) for row in found]


def _made_again(root: Path) -> Mapping[Version, int]:
    """Of each version that was made more than once, the number of its newest entry; few are."""
    return {(row[0], row[1]): row[2] for row in _rows(root, _AGAIN, ())}


def _made(row: tuple[Any, ...], newest: Mapping[Version, int]) -> Made:
    seq, subject, data_version, dvc_md5 = row
    return Made(seq, subject, data_version, dvc_md5, newest.get((subject, data_version), seq) == seq)


class EntriesAt(Mapping[int, LedgerEntry]):
    """The entries of these numbers, all read when the first one is asked for: who counts or lists them reads none."""

    def __init__(self, root: Path, numbers: tuple[int, ...]) -> None:
        self._root, self._numbers = root, numbers

    @cached_property
    def _read(self) -> Mapping[int, LedgerEntry]:
        return {entry.seq: entry for entry in entries_at(self._root, self._numbers)}

    def __getitem__(self, number: int) -> LedgerEntry:
        return self._read[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def _entry(row: tuple[Any, ...]) -> LedgerEntry:
    seq, prev_hash, own_hash, kind, subject, at, text, signatures = row
    payload = text.encode()
    return LedgerEntry(
        seq, prev_hash, own_hash, kind, subject, at, _Body(payload), payload, tuple(json.loads(signatures))
    )


def _rows(root: Path, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    if not database.exists(root):
        return []
    with database.reading(root) as connection:
        return connection.execute(statement, values).fetchall()
