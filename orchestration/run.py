"""`editloom run`: what is missing or out of date is materialized, the rest reused, with live progress."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.live import Live

from data import fail_points
from orchestration import arithmetic, dvc_yaml
from orchestration.announcement import announcer
from orchestration.building import forget_leftovers
from orchestration.chains import POLL_S, Chains
from orchestration.compute.reaper import GONE, Reaping, reap
from orchestration.consent.demotion import demote_tainted
from orchestration.graph import AssetId, chosen_partitions, expand, select, upstream
from orchestration.params import Params
from orchestration.plan import PlanItem, plan, wanted
from orchestration.progress import StepStatus, read_statuses, status_table
from orchestration.release.aliases import settle_all
from orchestration.run_record import RUNS, untouched, write_run_record
from orchestration.store import lockfile
from orchestration.store.keys import signing_key
from orchestration.store.ledger import LedgerEntry, last_entry, record_reuse
from orchestration.store.publish import recover
from orchestration.store.reuse import restore
from orchestration.tracking.replay import make_ready, replay, tell
from orchestration.worker import Job
from orchestration.workspace import Workspace

EXIT_FAILED, EXIT_USER_ERROR, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 3, 130


@dataclass(frozen=True)
class RunResult:
    """How a run ended: each asset's status, the plan it came from, and the exit status."""

    items: tuple[PlanItem, ...]
    statuses: dict[str, StepStatus]
    exit_code: int
    seconds: float
    folder: Path | None = None


def run(
    ws: Workspace, selection: str | None, partitions: Sequence[str] | None, console: Console, *, always: bool = False
) -> RunResult:
    """Materialize what the selection needs; raises UserError for a selection that names nothing known."""
    started = time.monotonic()
    params = ws.params()
    chosen = chosen_partitions(tuple(params.attributes), partitions)
    with exclusive(ws, console), arithmetic.held(params):
        tell(replay(ws), console)
        reap(ws)
        signing_key(ws.root)
        from_nothing = untouched(ws)
        dvc_yaml.write(ws.root, params)
        recover(ws.root, [announcer(ws)])
        models = (params.attribute_release.model_name(attribute) for attribute in params.attributes)
        settle_all(ws, models, warn=console.print)
        demote_tainted(ws, warn=console.print)
        items = tuple(plan(ws, params, expand(chosen, select(selection))))
        todo = [item.id for item in items if always or item.action != "reuse" or not _in_place(ws, item)]
        statuses = {str(i.id): StepStatus(str(i.id), "reused") for i in items if i.id not in todo}
        folder, code = _new_folder(ws), 0
        record_reuse(ws.root, _standing(ws, params, [i for i in items if i.id not in todo]), folder.name)
        forget_leftovers(ws, params, [item.id for item in items if item.id not in todo])
        fail_points.reach("reuse-recorded")
        if todo:
            make_ready(ws)
            chains = Chains(folder, params.compute, lambda: recover(ws.root, [announcer(ws)]), console.print)
            code, ran = _execute(chains, Reaping(ws), todo, [i.id for i in items], statuses, console, always)
            statuses |= ran
        lockfile.sync(ws.root, params)
        tell(replay(ws), console)
        seconds, asked = time.monotonic() - started, (selection, partitions)
        write_run_record(ws, folder, statuses, seconds=seconds, exit_code=code, asked=asked, from_nothing=from_nothing)
    return RunResult(items, statuses, code, seconds, folder)


def _standing(
    ws: Workspace, params: Params, items: Sequence[PlanItem]
) -> Iterator[tuple[LedgerEntry, Mapping[str, str]]]:
    """What is reused without a step, with the inputs that stand now."""
    for item in items:
        entry = last_entry(ws.root, item.id.asset, item.id.partition)
        if entry is not None:
            yield entry, wanted(ws, params, item.id).inputs


def _in_place(ws: Workspace, item: PlanItem) -> bool:
    """Whether a reused payload's bytes stand in their place, brought back from DVC where need be."""
    return item.fetched is None or restore(ws.root, item.fetched)


@contextmanager
def exclusive(ws: Workspace, console: Console) -> Iterator[None]:
    """One `editloom run` at a time in a workspace: the second says who holds it, and waits."""
    ws.state.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(ws.state / "run.lock"), ws.state / "run.holder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text() if holder.exists() else "another process"
        console.print(f"Waiting: this workspace is held by {who}.")
        lock.acquire()
    try:
        holder.write_text(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _new_folder(ws: Workspace) -> Path:
    """Where one run's jobs, logs and statuses lie; its name is the run's."""
    folder = ws.state / RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder


def _execute(
    running: Chains,
    reaping: Reaping,
    todo: list[AssetId],
    order: list[AssetId],
    reused: dict[str, StepStatus],
    console: Console,
    always: bool,
) -> tuple[int, dict[str, StepStatus]]:
    folder, name = running.folder, running.folder.name
    labels = [str(i) for i in order]
    shown = _Display(console, labels, reused, folder, name)
    try:
        with shown.live():
            for number, group in enumerate(_groups(todo), start=1):
                for job, label in _jobs(group, number, name, folder, always):
                    running.start(job, label)
                while running.poll():
                    shown.refresh()
                    reaping.tick()
                    time.sleep(POLL_S)
                shown.refresh()
                if running.failed:
                    break
    except KeyboardInterrupt:
        console.print("Stopping: each step saves its state …")
        running.stop()
        return EXIT_INTERRUPTED, _final(folder, todo, interrupted=True)
    except BaseException:
        running.stop()
        raise
    statuses = _final(folder, todo)
    return _exit_code(running.failed, statuses), statuses


def _groups(todo: list[AssetId]) -> list[list[AssetId]]:
    """First what partitions stand on, then each partition's chain beside whatever nothing waits for."""
    partitioned = {i.asset for i in todo if i.partition}
    needed = {dep for asset in partitioned for dep in upstream(asset)}
    first = [i for i in todo if not i.partition and (i.asset in needed or not partitioned)]
    second = [i for i in todo if i not in first]
    return [group for group in (first, second) if group]


def _jobs(group: list[AssetId], number: int, name: str, folder: Path, always: bool) -> Iterator[tuple[Job, str]]:
    """A group's jobs, one for each partition, and what their logs are called."""
    for partition in dict.fromkeys(i.partition for i in group):
        assets = tuple(i.asset for i in group if i.partition == partition)
        yield Job(name, assets, partition, str(folder / "status"), always), partition or f"shared-{number}"


@dataclass
class _Display:
    """A live table on a terminal; a line per change elsewhere."""

    console: Console
    order: list[str]
    reused: dict[str, StepStatus]
    folder: Path
    name: str
    _live: Live | None = None
    _seen: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def live(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=4) as self._live:
            yield

    def refresh(self) -> None:
        statuses = {**self.reused, **read_statuses(self.folder / "status")}
        if self._live is not None:
            self._live.update(status_table(self.order, statuses, f"editloom run {self.name}"))
            return
        for asset, status in statuses.items():
            if self._seen.get(asset) != status.state and status.state != "reused":
                line = f"{time.strftime('%H:%M:%S')} {asset}: {status.state} {status.note}"
                self.console.print(line, markup=False, highlight=False)
            self._seen[asset] = status.state


def _final(folder: Path, todo: list[AssetId], *, interrupted: bool = False) -> dict[str, StepStatus]:
    """Each asset's last word: one that never began was skipped, one that still says it runs was cut off."""
    statuses = read_statuses(folder / "status")
    for asset in map(str, todo):
        status = statuses.setdefault(asset, StepStatus(asset))
        if status.state in {"waiting", "running"} and interrupted:
            status.state = "stopped"
        elif status.state == "waiting":
            status.state = "skipped"
        elif status.state == "running":
            status.state, status.error = "failed", GONE
    return statuses


def _exit_code(failed: bool, statuses: dict[str, StepStatus]) -> int:
    errors = [s for s in statuses.values() if s.state == "failed"]
    if errors and all(s.user_error for s in errors):
        return EXIT_USER_ERROR
    if not errors and any(s.state == "refused" for s in statuses.values()):
        return EXIT_REFUSED
    return EXIT_FAILED if failed or errors else 0
