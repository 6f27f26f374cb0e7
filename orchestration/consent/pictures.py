"""Pictures outside of payloads that may show an image: the evidence folders, MLflow's artifacts, Dagster's previews."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.consent.removal import CHECKPOINTS, DAGSTER, EVIDENCE, INDEX, MLFLOW, Removal
from orchestration.consent.stored_objects import PICTURES
from orchestration.graph import AssetId
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import open_tracker
from orchestration.tracking.registry import MODEL_FOLDER
from orchestration.workspace import FACTS_FILE, Workspace

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from mlflow import MlflowClient

_DATA_URI = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")
REMOVED = "data:,removed"
"""What stands in an event of Dagster's in place of a picture."""


def evidence(ws: Workspace, entries: Iterable[LedgerEntry], since: datetime) -> Iterator[Removal]:
    """Pictures and pages beside the payloads of these entries' assets that are of these entries, or from before."""
    numbers: dict[str, set[int]] = {}
    for entry in entries:
        numbers.setdefault(entry.subject, set()).add(entry.seq)
    for subject, known in numbers.items():
        folder = ws.root / AssetId.parse(subject).evidence_path
        facts = folder / FACTS_FILE
        old = facts.exists() and json.loads(facts.read_text()).get("ledger_entry") in known
        for path in sorted(folder.glob("*")):
            if path.suffix in PICTURES and (old or _before(path, since)):
                yield Removal(where=EVIDENCE, path=path.relative_to(ws.root).as_posix())


def checkpoints(ws: Workspace, entries: Iterable[LedgerEntry], since: datetime) -> Iterator[Removal]:
    """What interrupted steps left behind before the withdrawal."""
    for subject in dict.fromkeys(entry.subject for entry in entries):
        made = AssetId.parse(subject)
        for folder in sorted(ws.workdir(made.asset, made.partition).glob("*")):
            files = [path for path in folder.rglob("*") if path.is_file()]
            if files and all(_before(path, since) for path in files):
                yield Removal(where=CHECKPOINTS, path=folder.relative_to(ws.root).as_posix())


def indices(ws: Workspace, entries: Iterable[LedgerEntry]) -> Iterator[Removal]:
    """The look-up tables of these image sets; they are made again on demand."""
    for version in dict.fromkeys(str(entry.body["data_version"]) for entry in entries):
        for path in sorted((ws.state / "index").glob(f"{version}.*")):
            yield Removal(where=INDEX, path=path.relative_to(ws.root).as_posix())


def tracked(ws: Workspace, entries: Iterable[LedgerEntry]) -> Iterator[Removal]:
    """Pictures and pages of these entries' MLflow runs, the registered model's own files aside."""
    told = [entry.materialization for entry in entries if entry.body["mlflow_run"] or entry.body["dagster_run"]]
    if not told:
        return
    tracker = open_tracker(ws)
    client = tracker.client
    # Where the server was away when it was made, the entry does not know the run: its tags do.
    known = (m.mlflow_run or tracker.find_asset_run(m.dagster_run, m.wanted.asset, m.wanted.partition) for m in told)
    for run in dict.fromkeys(run for run in known if run is not None):
        for path in _artifacts(client, run):
            if Path(path).suffix in PICTURES and not path.startswith(f"{MODEL_FOLDER}/"):
                yield Removal(where=MLFLOW, path=f"{run}/{path}")


def previews(ws: Workspace, entries: Iterable[LedgerEntry]) -> Iterator[Removal]:
    """The events of Dagster's that hold a picture of these materializations."""
    made = [(str(e.body["dagster_run"]), e.subject) for e in entries if e.body["dagster_run"]]
    if not made or not (ws.dagster_home / "history").exists():
        return
    with ws.dagster_instance() as instance:
        for run, subject in dict.fromkeys(made):
            if _scrubbed(instance, run, AssetId.parse(subject), write=False):
                yield Removal(where=DAGSTER, path=f"{run}/{subject}")


def remove_tracked(ws: Workspace, removed: Sequence[Removal]) -> None:
    """Remove artifacts of MLflow runs; those that are gone are fine."""
    if not removed:
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client = open_tracker(ws).client
    known: dict[str, set[str]] = {}
    for one in removed:
        run, _, path = one.path.partition("/")
        if run not in known:
            known[run] = set(_artifacts(client, run))
        if path in known[run]:
            uri = str(client.get_run(run).info.artifact_uri)
            repository: Any = get_artifact_repository(uri, tracking_uri=ws.mlflow_uri)
            repository.delete_artifacts(path)


def remove_previews(ws: Workspace, removed: Sequence[Removal]) -> None:
    """Take the pictures out of Dagster's events; the events stay."""
    if not removed:
        return
    with ws.dagster_instance() as instance:
        for one in removed:
            run, _, subject = one.path.partition("/")
            _scrubbed(instance, run, AssetId.parse(subject), write=True)


def _artifacts(client: MlflowClient, run: str, folder: str | None = None) -> Iterator[str]:
    """Every file of a run; none of a run that the server does not know."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.list_artifacts(run, folder)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    for one in found:
        if one.is_dir:
            yield from _artifacts(client, run, one.path)
        else:
            yield str(one.path)


def _scrubbed(instance: DagsterInstance, run: str, made: AssetId, *, write: bool) -> int:
    """How many events of a materialization hold pictures; with `write` they are taken out.

    Dagster has no way to change an event, so that its tables are asked directly: those of the run, and those of the
    index over all runs.
    """
    from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable

    storage: Any = instance.event_log_storage
    events, assets = SqlEventLogStorageTable, AssetKeyTable
    key, found = json.dumps([made.asset]), 0
    for connected in (lambda: storage.run_connection(run), storage.index_connection):
        with connected() as connection:
            of_this = (events.c.run_id == run) & (events.c.asset_key == key)
            of_this &= (events.c.partition == made.partition) if made.partition else events.c.partition.is_(None)
            found += _replaced(connection, events, events.c.id, events.c.event, of_this, write)
    with storage.index_connection() as connection:
        last = (assets.c.asset_key == key) & (assets.c.last_run_id == run)
        _replaced(connection, assets, assets.c.id, assets.c.last_materialization, last, write)
    return found


def _replaced(connection: Any, table: Any, key: Any, column: Any, condition: Any, write: bool) -> int:
    from sqlalchemy import select, update

    if write and connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # else the old text stays in the file's free pages
    rows = connection.execute(select(key, column).where(condition & column.like("%data:image/%"))).fetchall()
    for row_key, text in rows if write else ():
        connection.execute(update(table).where(key == row_key).values({column.name: _DATA_URI.sub(REMOVED, text)}))
    return len(rows)


def _before(path: Path, since: datetime) -> bool:
    return path.stat().st_mtime < since.timestamp()
