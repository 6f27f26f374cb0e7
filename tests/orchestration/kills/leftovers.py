"""What a killed process could leave behind: leases, tickets, slots, locks, intents, runs that say they go on."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from filelock import FileLock, Timeout

from orchestration.store import journal
from orchestration.store.staging import STAGING
from orchestration.workspace import Workspace

UNDER_WAY = [
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
    DagsterRunStatus.NOT_STARTED,
]
POOL = "gpu"


@dataclass(frozen=True)
class Dead:
    """What was killed: process ids, and the runs in Dagster and MLflow that went on then."""

    processes: frozenset[int]
    dagster_runs: frozenset[str] = frozenset()
    mlflow_runs: frozenset[str] = frozenset()


def at_kill(ws: Workspace, instance: DagsterInstance, processes: frozenset[int]) -> Dead:
    """Note what goes on in the records at the moment of a kill."""
    return Dead(processes, frozenset(dagster_under_way(instance)), frozenset(mlflow_under_way(ws)))


def unreclaimed(ws: Workspace, instance: DagsterInstance, dead: Dead) -> list[str]:
    """What still names one of the dead."""
    found = [f"{path.name} names a dead process" for path in _papers(ws) if dead.processes & _named_in(path)]
    found += [f"Dagster run {run} goes on" for run in dagster_under_way(instance) if run in dead.dagster_runs]
    found += [f"MLflow run {run} goes on" for run in mlflow_under_way(ws) if run in dead.mlflow_runs]
    return [*found, *(f"a slot of {run}" for run in _slot_holders(instance) if run in dead.dagster_runs)]


def left_behind(ws: Workspace, instance: DagsterInstance) -> list[str]:
    """Everything that should not be there while nothing runs."""
    found = [f"{path.relative_to(ws.root)} is left" for path in (*_papers(ws), *(ws.root / STAGING).glob("*"))]
    found += [f"{path.relative_to(ws.root)} is left" for path in (*ws.state.glob("sign-*"), *_unsent(ws))]
    found += [f"{path.relative_to(ws.root)} is held" for path in _held_locks(ws)]
    found += [f"the intent of {intent.asset_id} is {intent.state}" for intent in journal.unfinished(ws.root)]
    found += [f"a checkpoint, {path}" for path in (ws.state / "work").rglob("*.safetensors")]
    found += [f"Dagster run {run} goes on" for run in dagster_under_way(instance)]
    found += [f"MLflow run {run} goes on" for run in mlflow_under_way(ws)]
    return [*found, *(f"a slot of {run}" for run in _slot_holders(instance))]


def dagster_under_way(instance: DagsterInstance) -> list[str]:
    """Dagster runs that say they go on."""
    return [run.run_id for run in instance.get_runs(RunsFilter(statuses=UNDER_WAY))]


def mlflow_under_way(ws: Workspace) -> list[str]:
    """MLflow runs that say they go on."""
    database = ws.state / "mlflow.db"
    if not database.exists():
        return []
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection,
    ):
        return [str(row[0]) for row in connection.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING'")]
    return []  # its tables are being made


def _slot_holders(instance: DagsterInstance) -> list[str]:
    info = instance.event_log_storage.get_concurrency_info(POOL)
    return [slot.run_id for slot in info.claimed_slots] + [step.run_id for step in info.pending_steps]


def _papers(ws: Workspace) -> Iterator[Path]:
    """Files in which processes say that they hold or wait for something."""
    for folder in ("devices", "processes"):
        yield from (path for path in (ws.state / folder).rglob("*.json") if path.is_file())
    yield from ws.state.glob("*.holder")


def _named_in(path: Path) -> frozenset[int]:
    """The process that a lease, a registration or `run.holder` names; none once it is gone."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return frozenset()
    if path.suffix == ".json":
        return frozenset({int(json.loads(text)["life"]["pid"])})
    return frozenset(map(int, re.findall(r"process (\d+)", text)))


def _unsent(ws: Workspace) -> Iterator[Path]:
    """What was not told to MLflow yet."""
    return (path for path in (ws.state / "spool").rglob("*") if path.is_file() and path.suffix != ".lock")


def _held_locks(ws: Workspace) -> Iterator[Path]:
    for path in ws.state.rglob("*.lock"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
            lock.release()
        except Timeout:
            yield path
