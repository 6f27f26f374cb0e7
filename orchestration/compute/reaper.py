"""What the dead leave behind is given back: Dagster's runs and slots, MLflow's runs, tickets, statuses.

A living run is never touched. All of it may be done again, and by several processes at once.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from data.errors import UserError
from orchestration.compute.admission import POOL
from orchestration.compute.inventory import inventory
from orchestration.compute.processes import WORKER_TAG, Registered, forget, registrations
from orchestration.compute.tickets import Queue
from orchestration.progress import StatusFile, StepStatus
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

LOGGER = logging.getLogger(__name__)
GONE = "its process was cut off: killed, or out of memory. The same command goes on from its last checkpoint."
LAUNCH_GRACE_S = 30.0
"""A run that a code server has only just been told of may not be known to it yet."""
ANSWER_S = 2
EVERY_S = 2.0


@dataclass(frozen=True)
class Reaped:
    """What was given back: Dagster runs ended, MLflow runs ended, whose tickets, and how many dead processes."""

    runs: tuple[str, ...] = ()
    tracked: int = 0
    tickets: tuple[str, ...] = ()
    processes: int = 0

    @property
    def told(self) -> str:
        """In a sentence."""
        if self == Reaped():
            return "Nothing was left behind."
        whose = f" ({', '.join(self.tickets)})" if self.tickets else ""
        return (
            f"Given back: {len(self.tickets)} tickets{whose}, {len(self.runs)} Dagster runs, "
            f"{self.tracked} MLflow runs, {self.processes} dead processes."
        )


def reap(ws: Workspace, *, thorough: bool = False, wait: bool = True) -> Reaped:
    """Give back what dead processes held in `ws`.

    Cheap while nobody died. `thorough` also looks at runs of which no process is known, which opens Dagster's database.
    Without `wait` it leaves the work to another process that is at it.
    """
    ws.state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(ws.state / "reaper.lock", timeout=-1 if wait else 0):
            return _reap(ws, thorough)
    except Timeout:
        return Reaped()


@dataclass
class Reaping:
    """Reaps every few seconds while one waits: call `tick` as often as you like."""

    ws: Workspace
    last: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Reap when it is time, unless another process is at it."""
        if time.monotonic() - self.last >= EVERY_S:
            reap(self.ws, wait=False)
            self.last = time.monotonic()


def _reap(ws: Workspace, thorough: bool) -> Reaped:
    tickets = Queue.of(ws, inventory(ws.params())).serve(at_once=True)
    known = registrations(ws)
    dead = [record for record in known if not record.alive]
    runs: tuple[str, ...] = ()
    tracked: int | None = 0
    if dead or thorough:
        runs, over = _end_dagster_runs(ws, known, thorough)
        _end_statuses(dead, known)
        tracked = _end_tracked_runs(ws, over)
    if tracked is not None:  # else they stay, so that the next one tells the tracking server
        for record in dead:
            forget(ws, record)
    _forget_holder(ws)
    return Reaped(runs, tracked or 0, tuple(ticket.who for ticket in tickets), len(dead))


def _end_dagster_runs(
    ws: Workspace, known: Sequence[Registered], thorough: bool
) -> tuple[tuple[str, ...], frozenset[str]]:
    """End Dagster's unfinished runs that nobody executes, free their slots; returns those, and all that are over."""
    import dagster as dg

    unfinished = [status for status in dg.DagsterRunStatus if status.name in {"NOT_STARTED", "STARTING", "STARTED"}]
    unfinished.append(dg.DagsterRunStatus.CANCELING)
    with ws.dagster_instance() as instance:
        ended = []
        for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
            if _is_dead(instance, run, known, thorough):
                _end(instance, run)
                ended.append(run.run_id)
        over = {*ended, *(record.run for record in known if record.run and not record.alive)}
        over -= {record.run for record in known if record.alive}
        _free_slots(instance, over, {record.run for record in known if record.alive})
    return tuple(ended), frozenset(over)


def _is_dead(instance: DagsterInstance, run: DagsterRun, known: Sequence[Registered], thorough: bool) -> bool:
    own = [record for record in known if record.run == run.run_id or record.name == run.tags.get(WORKER_TAG)]
    if any(record.alive for record in own):
        return False
    if own or WORKER_TAG in run.tags:
        return not _served(instance, run)
    from dagster._core.storage.tags import GRPC_INFO_TAG

    return thorough and GRPC_INFO_TAG in run.tags and not _served(instance, run)


def _served(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether a code server executes the run, or was asked to a moment ago."""
    from dagster._core.storage.tags import GRPC_INFO_TAG
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
    from dagster._serdes import deserialize_value

    if GRPC_INFO_TAG not in run.tags:
        return False
    record = instance.get_run_record_by_id(run.run_id)
    if record is not None and time.time() - record.update_timestamp.timestamp() < LAUNCH_GRACE_S:
        return True
    where = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(
        host=where.get("host") or "localhost",
        port=where.get("port"),
        socket=where.get("socket"),
        use_ssl=bool(where.get("use_ssl")),
    )
    try:
        said = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=ANSWER_S)
    except Exception:  # whatever its transport raises: there is no such server any more
        return False
    return deserialize_value(said, CanCancelExecutionResult).can_cancel


def _end(instance: DagsterInstance, run: DagsterRun) -> None:
    import dagster as dg

    now = instance.get_run_by_id(run.run_id)
    if now is None or now.is_finished:
        return
    if now.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(now, f"Canceled: {GONE}")
    else:
        instance.report_run_failed(now, f"Failed: {GONE}")


def _free_slots(instance: DagsterInstance, over: Iterable[str], alive: set[str]) -> None:
    """Free the slots of runs that are over, also of those that ended without giving theirs back."""
    storage = instance.event_log_storage
    pool = storage.get_concurrency_info(POOL)
    claimed = {slot.run_id for slot in pool.claimed_slots} | {step.run_id for step in pool.pending_steps}
    for run_id in claimed - alive:
        run = instance.get_run_by_id(run_id)
        if run_id in over or run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)


def _end_statuses(dead: Sequence[Registered], known: Sequence[Registered]) -> None:
    """A step that still says it runs was cut off, unless another process has begun it again."""
    taken = {record.status for record in known if record.alive}
    for record in dead:
        path = Path(record.status)
        if not record.status or record.status in taken:
            continue
        with suppress(OSError, ValueError, TypeError):
            status = StepStatus(**json.loads(path.read_text()))
            if status.state in {"running", "waiting"}:
                StatusFile.over(path, status).end("failed", error=GONE)


def _end_tracked_runs(ws: Workspace, over: frozenset[str]) -> int | None:
    """Set the MLflow runs of runs that are over to KILLED; how many, or None when the server does not answer."""
    if not over:
        return 0
    from mlflow.exceptions import MlflowException

    from orchestration.tracking.runs import TAG_DAGSTER_RUN, open_tracker

    ended = 0
    try:
        tracker = open_tracker(ws)
        for run_id in over:
            query = f"attributes.status = 'RUNNING' and tags.`{TAG_DAGSTER_RUN}` = '{run_id}'"
            for run in tracker.client.search_runs([tracker.experiment_id], query):
                tracker.client.set_terminated(run.info.run_id, "KILLED")
                ended += 1
    except (MlflowException, UserError) as error:
        LOGGER.warning("MLflow could not be told of runs that were cut off; the next one tells it: %s", error)
        return None
    return ended


def _forget_holder(ws: Workspace) -> None:
    """`run.holder` says who runs here; the lock beside it says whether anybody does."""
    holder = ws.state / "run.holder"
    if holder.exists():
        with suppress(Timeout), FileLock(ws.state / "run.lock", timeout=0):
            holder.unlink(missing_ok=True)
