"""The journal of publications: an intent is written before anything changes, and closed when all is recorded."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration.graph import AssetId
from orchestration.store import database, envelope, ledger
from orchestration.store.records import Materialization

State = Literal["open", "recorded", "closed", "abandoned"]


@dataclass(frozen=True)
class Intent:
    """A publication in progress: which payload goes where, and what the ledger will say of it.

    `open`: the payload may or may not stand in its place; `recorded`: the ledger has it, what follows may be missing.
    """

    id: str
    asset_id: AssetId
    state: State
    staged: Path
    materialization: Materialization

    @property
    def target(self) -> Path:
        """The payload's place, relative to the workspace."""
        return Path(self.asset_id.path)


def begin(root: Path, intent: Intent) -> None:
    """Write an intent down before its payload moves."""
    row = (intent.id, str(intent.asset_id), intent.state, intent.staged.as_posix(), _text(intent.materialization))
    with database.writing(root) as connection:
        connection.execute("INSERT INTO intent (id, subject, state, staged, json) VALUES (?,?,?,?,?)", row)


def record(root: Path, intent: Intent) -> ledger.LedgerEntry:
    """Write the ledger entry of an intent and mark it recorded, in one transaction; twice is once."""
    with database.writing(root) as connection:
        entry = ledger.entry_of_intent(connection, intent.id)
        if entry is None:
            body = json.loads(_text(intent.materialization))
            entry = ledger.append(root, connection, ledger.MATERIALIZATION, str(intent.asset_id), body, intent.id)
        _set_state(connection, intent.id, "recorded")
    return entry


def close(root: Path, intent: Intent, state: Literal["closed", "abandoned"] = "closed") -> None:
    """Say that nothing is left to do for an intent."""
    with database.writing(root) as connection:
        _set_state(connection, intent.id, state)


def unfinished(root: Path, asset_id: AssetId | None = None) -> list[Intent]:
    """Intents that are neither closed nor abandoned, oldest first; those of one asset if named."""
    if not database.exists(root):
        return []
    condition = "" if asset_id is None else " AND subject = ?"
    values = () if asset_id is None else (str(asset_id),)
    query = f"SELECT id, subject, state, staged, json FROM intent WHERE state IN ('open', 'recorded'){condition}"
    with database.reading(root) as connection:
        rows = connection.execute(query + " ORDER BY rowid", values).fetchall()
    return [_intent(*row) for row in rows]


def _set_state(connection: sqlite3.Connection, intent_id: str, state: State) -> None:
    connection.execute("UPDATE intent SET state = ? WHERE id = ?", (state, intent_id))


def _intent(intent_id: str, subject: str, state: State, staged: str, text: str) -> Intent:
    return Intent(intent_id, AssetId.parse(subject), state, Path(staged), Materialization.model_validate_json(text))


def _text(materialization: Materialization) -> str:
    return envelope.canonical(materialization.model_dump(mode="json"))
