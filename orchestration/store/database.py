"""The SQLite file that holds the ledger and the journal, so that one transaction covers both."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from data.disk_space import disk_full, room_in
from data.errors import UserError

LEDGER_FILE = Path("ledger", "ledger.sqlite")
BUSY_TIMEOUT_S = 60.0
VERSION = 2

# `made` and `uses` are read off the entries' payloads, for look-ups by version and by edge; `verify` compares them.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY,
    prev_hash TEXT NOT NULL,
    entry_hash TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    payload TEXT NOT NULL,
    signatures TEXT NOT NULL,
    intent TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS entry_of_subject ON entry (subject, kind, seq);
CREATE INDEX IF NOT EXISTS entry_of_kind ON entry (kind, seq);
CREATE TABLE IF NOT EXISTS made (
    seq INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    data_version TEXT NOT NULL,
    dvc_md5 TEXT NOT NULL,
    dagster_run TEXT,
    mlflow_run TEXT
);
CREATE INDEX IF NOT EXISTS made_version ON made (data_version, subject);
CREATE INDEX IF NOT EXISTS made_md5 ON made (dvc_md5);
CREATE INDEX IF NOT EXISTS made_dagster ON made (dagster_run);
CREATE INDEX IF NOT EXISTS made_mlflow ON made (mlflow_run);
CREATE TABLE IF NOT EXISTS uses (
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (version, name, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reused (
    seq INTEGER PRIMARY KEY,
    entry_hash TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS reused_entry ON reused (entry_hash, seq);
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
PRAGMA user_version = {VERSION};
"""


def exists(root: Path) -> bool:
    """Whether anything was ever recorded in this workspace."""
    return (root / LEDGER_FILE).exists()


@contextmanager
def reading(root: Path) -> Iterator[sqlite3.Connection]:
    """A connection for queries; made with its schema when the workspace is new. Raises UserError for no ledger."""
    with closing(_connect(root)) as connection:
        yield connection


@contextmanager
def writing(root: Path) -> Iterator[sqlite3.Connection]:
    """One transaction that holds the only write lock from its start, so that a chain cannot fork."""
    with room_in(root / LEDGER_FILE.parent, "the ledger"), closing(_connect(root)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                connection.execute("ROLLBACK")
            raise


def _connect(root: Path) -> sqlite3.Connection:
    path = root / LEDGER_FILE
    if not path.exists():
        _create(path)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        connection.close()
        full = disk_full(error, path.parent, "the ledger")
        if full is not None:
            raise full from error
        raise UserError(f"{path} cannot be read as a ledger: {error}.", "Bring it back with `editloom pull`.") from None
    if found != VERSION:
        connection.close()
        hint = f"Move {path} away: `editloom run` then makes everything anew, with a new ledger."
        raise UserError(f"{path} is a ledger of version {found}, and this Editloom writes version {VERSION}.", hint)
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
