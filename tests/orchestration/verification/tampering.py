"""Ways to tamper with a workspace, each undone at the end, so that one clone serves them all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from orchestration.release.decisions import CHAMPION
from orchestration.store import database, ledger
from orchestration.store.dvc import cache_dir
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import Tracker, open_tracker
from orchestration.workspace import Workspace


@contextmanager
def flipped(path: Path, offset: int = -1) -> Iterator[None]:
    """One bit of a file turned, by default in its middle."""
    content = path.read_bytes()
    place = len(content) // 2 if offset < 0 else offset
    path.chmod(0o644)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    try:
        yield
    finally:
        path.write_bytes(content)


@contextmanager
def away(path: Path) -> Iterator[None]:
    """A file or folder moved out of its place."""
    hidden = path.with_name(f"{path.name}.hidden")
    path.rename(hidden)
    try:
        yield
    finally:
        hidden.rename(path)


@contextmanager
def ledger_file(ws: Workspace) -> Iterator[Path]:
    """The ledger's file, to be written to behind its back."""
    path = ws.root / database.LEDGER_FILE
    kept = path.with_name("kept")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(path, kept)
    try:
        yield path
    finally:
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            path.with_name(name).unlink(missing_ok=True)
        kept.replace(path)


@contextmanager
def statements(ws: Workspace, *commands: tuple[str, tuple[Any, ...]]) -> Iterator[None]:
    """SQL on the ledger, its triggers dropped first."""
    with ledger_file(ws) as path:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for trigger in ("entry_is_never_changed", "entry_is_never_deleted"):
                connection.execute(f"DROP TRIGGER {trigger}")
            for command, values in commands:
                connection.execute(command, values)
        yield


@contextmanager
def dropped(ws: Workspace, *seqs: int) -> Iterator[None]:
    """Entries removed, with all that the look-up tables hold of them."""
    tables = ("entry", "made", "uses", "reused")
    with statements(ws, *((f"DELETE FROM {table} WHERE seq = ?", (seq,)) for seq in seqs for table in tables)):
        yield


@contextmanager
def moved_aliases(ws: Workspace, model: str) -> Iterator[None]:
    """The champion's alias gone, and `previous` on the version that had it."""
    client = open_tracker(ws).client
    version = str(client.get_model_version_by_alias(model, CHAMPION).version)
    client.delete_registered_model_alias(model, CHAMPION)
    client.set_registered_model_alias(model, "previous", version)
    try:
        yield
    finally:
        client.set_registered_model_alias(model, CHAMPION, version)
        client.delete_registered_model_alias(model, "previous")


def made(ws: Workspace, asset: str, partition: str | None = None) -> LedgerEntry:
    """The last materialization."""
    found = ledger.last_entry(ws.root, asset, partition)
    assert found is not None
    return found


def image_place(ws: Workspace, asset: str, row: int = 3) -> tuple[str, Path, int]:
    """An image of a set in its place: sha256, shard, and an offset amid its bytes."""
    folder = ws.payload(asset)
    table = pq.read_table(folder / "manifest.parquet", columns=["sha256", "shard", "offset"]).slice(row, 1).to_pylist()
    return table[0]["sha256"], folder / table[0]["shard"], table[0]["offset"] + 40


def cached_object(ws: Workspace, path: Path) -> Path:
    """DVC's copy of a payload's file."""
    import hashlib

    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    return cache_dir(ws.root) / md5[:2] / md5[2:]


def model_file(ws: Workspace, tracker: Tracker, model: str, name: str) -> Path:
    """A file of a registered model where the tracking server keeps it."""
    version = tracker.client.get_model_version_by_alias(model, CHAMPION)
    return ws.mlflow_artifacts / str(version.run_id) / "artifacts" / "model" / name
