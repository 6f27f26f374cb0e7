"""The SQLite file that holds the ledger and the journal, so that one transaction covers both."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

LEDGER_FILE = Path("ledger", "ledger.sqlite")
BUSY_TIMEOUT_S = 60.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY,
    prev_hash TEXT NOT NULL,
    entry_hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    json TEXT NOT NULL,
    signature TEXT,
    intent TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS entry_of_subject ON entry (subject, kind, seq);
CREATE TRIGGER IF NOT EXISTS entry_is_never_changed BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_never_deleted BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS intent (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    staged TEXT NOT NULL,
    json TEXT NOT NULL
);
"""


def exists(root: Path) -> bool:
    """Whether anything was ever recorded in this workspace."""
    return (root / LEDGER_FILE).exists()


@contextmanager
def reading(root: Path) -> Iterator[sqlite3.Connection]:
    """A connection for queries; made with its schema when the workspace is new."""
    with closing(_connect(root)) as connection:
        yield connection


@contextmanager
def writing(root: Path) -> Iterator[sqlite3.Connection]:
    """One transaction that holds the only write lock from its start, so that a chain cannot fork."""
    with closing(_connect(root)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _connect(root: Path) -> sqlite3.Connection:
    path = root / LEDGER_FILE
    if not path.exists():
        _create(path)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _create(path: Path) -> None:
    """Make the file whole under another name first: a process that sees it sees its schema."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".create.lock")):
        if path.exists():
            return
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        fresh.rename(path)
