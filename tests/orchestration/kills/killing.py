"""Runs in processes of their own, killed at a fail point or at any moment, and what the run after them makes of it."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil
import yaml
from dagster import DagsterInstance

from data.fail_points import HOLD_VARIABLE, VARIABLE
from orchestration.graph import AssetId, expand
from orchestration.store import ledger, stat_cache
from orchestration.store.payload import digest_payload
from orchestration.workspace import VARIABLE as WORKSPACE
from orchestration.workspace import Workspace
from tests.orchestration.kills.leftovers import Dead, at_kill, left_behind, unreclaimed
from tests.orchestration.kills.watching import ABSENT, Watcher

COMMAND = [sys.executable, "-m", "orchestration.cli", "run"]
# A bound on how long a slow machine may take for one run of the smoke preset.
PATIENCE_S = 280.0
RECLAIM_S = 15.0
POLL_S = 0.05
SAID = "said.log"
BETWEEN_RENAMES = "payload-between-renames"

Versions = Mapping[AssetId, str]
Victim = Literal["all", "worker"]


@dataclass(frozen=True)
class Point:
    """Where a run is killed: at fail point `at` (`NAME:3`: its third time) while `asset` is made again.

    `absent`: no payload of it stands there before. `then` is where the run that recovers is killed in its turn.
    `worker`: only the process that reaches the point dies, else the whole run with it.
    """

    at: str
    asset: AssetId
    absent: bool = False
    then: str = ""
    victim: Victim = "all"
    changes: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.at, "absent" if self.absent else "", self.then, "" if self.victim == "all" else self.victim]
        return "-".join((self.asset.asset, *filter(None, words))).replace(":", "-")


@dataclass(frozen=True)
class Survival:
    """How a workspace came out of its kills; `reclaim_s` is the longest time until nothing named the dead."""

    half_published: tuple[str, ...]
    looks: int
    reclaim_s: float
    versions: Versions
    left: tuple[str, ...]
    exit_code: int
    said: str

    def whole(self, expected: Versions) -> bool:
        """Whether everything is as after the undisturbed run, and nothing is left of the dead."""
        return self.exit_code == 0 and self.versions == expected and not self.half_published and not self.left


def versions_of(ws: Workspace) -> Versions:
    """The data version of every payload: that of the bytes in place, which the ledger must have said last."""
    found = {}
    for asset_id in expand(tuple(ws.params().attributes)):
        entry = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
        in_place = stat_cache.version_in_place(ws.root, asset_id, verify_bytes=True)
        said = entry.materialization.data_version if entry else ABSENT
        found[asset_id] = said if said == in_place else f"{in_place} in place, {said} in the ledger"
    return found


def outdate(ws: Workspace, asset_id: AssetId, *, absent: bool = False) -> str:
    """Let an asset be made again: another payload, or none, stands in its place; returns the version that does.

    DVC's lock forgets its last version, which would be brought back from the cache.
    """
    place, lock = ws.root / asset_id.path, ws.root / "dvc.lock"
    document = yaml.safe_load(lock.read_text())
    document["stages"].pop(asset_id.stage)
    lock.write_text(yaml.safe_dump(document, sort_keys=False))
    if absent:
        shutil.rmtree(place)
        return ABSENT
    (place / "by-hand.json").write_text("{}")
    return digest_payload(place).root


def survive(ws: Workspace, point: Point, expected: Versions) -> Survival:
    """Kill a run at a point, start it again at once, and look all the time at what is published.

    `expected` are the undisturbed run's versions. AssertionError when the point is never reached.
    """
    before = outdate(ws, point.asset, absent=point.absent)
    allowed = {asset_id: frozenset({version}) for asset_id, version in expected.items()}
    # Between two renames there is nothing for a moment, on file systems that cannot exchange two directories.
    allowed[point.asset] |= {before, ABSENT} if point.at == BETWEEN_RENAMES else {before}
    with ws.dagster_instance() as instance, Watcher(ws) as watcher:
        run, dead = _killed(ws, instance, point)
        reclaim_s = reclaimed_after(ws, instance, dead, run)
        code = ended(run)
        if point.victim == "worker":  # the run saw its worker die, and may have gone on with another
            code = ended(start(ws))
        left = (*left_behind(ws, instance),)
    half_published = (*watcher.half_published(allowed),)
    return Survival(half_published, watcher.looks, reclaim_s, versions_of(ws), left, code, said(ws))


def _killed(ws: Workspace, instance: DagsterInstance, point: Point) -> tuple[subprocess.Popen[bytes], Dead]:
    """Kill a run at each of a point's places in turn; returns the run that goes on after that, and who died."""
    places = [at for at in (point.at, point.then) if at]
    run = start(ws, **_held_at(ws, places[0]))
    for at, following in zip(places, [*places[1:], ""], strict=True):
        pid = _wait_held(ws, run, at)
        dead = at_kill(ws, instance, family(run) if point.victim == "all" else frozenset({pid}))
        if point.victim == "worker":
            os.kill(pid, signal.SIGKILL)
        else:
            kill_tree(run)
            run = start(ws, **(_held_at(ws, following) if following else {}))
    return run, dead


def start(ws: Workspace, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """`editloom run ARGUMENTS` in a process of its own; its words follow those of the runs before it."""
    known = {**os.environ, WORKSPACE: str(ws.root), **environment}
    with (ws.state / SAID).open("ab") as log:
        return subprocess.Popen([*COMMAND, *arguments], cwd=ws.root, stdout=log, stderr=log, env=known)


def ended(run: subprocess.Popen[bytes]) -> int:
    """The exit status of a run, once it has ended; one that hangs is killed."""
    try:
        return run.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill_tree(run)
        raise


def said(ws: Workspace) -> str:
    """The last words of the runs and of their workers."""
    logs = sorted(ws.state.glob("runs/*/*.log"), key=lambda path: path.stat().st_mtime)[-2:]
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in (*logs, ws.state / SAID))


def family(run: subprocess.Popen[bytes]) -> frozenset[int]:
    """The ids of a run's process and of all that it started and that still live."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(run.pid)
        return frozenset((run.pid, *(child.pid for child in process.children(recursive=True))))
    return frozenset()


def kill_tree(run: subprocess.Popen[bytes]) -> frozenset[int]:
    """Kill a run with everything that it started, stopped first so that none sees another die; returns their ids."""
    tree = family(run)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    run.wait()
    wait_for(lambda: not any(_lives(pid) for pid in tree), "the end of what was killed")
    return tree


def reclaimed_after(ws: Workspace, instance: DagsterInstance, dead: Dead, run: subprocess.Popen[bytes]) -> float:
    """Seconds, from now, until nothing names one of the dead any more; infinite when that outlives `run`."""
    killed_at = time.monotonic()
    while unreclaimed(ws, instance, dead):
        if run.poll() is not None and unreclaimed(ws, instance, dead):
            return math.inf
        time.sleep(POLL_S)
    return time.monotonic() - killed_at


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Wait for something, within bounds."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.01)


def _held_at(ws: Workspace, at: str) -> dict[str, str]:
    return {VARIABLE: at, HOLD_VARIABLE: str(_hold_file(ws, at))}


def _hold_file(ws: Workspace, at: str) -> Path:
    return ws.state / f"held-at-{at}"


def _wait_held(ws: Workspace, run: subprocess.Popen[bytes], at: str) -> int:
    """The id of the process that stopped at a fail point."""
    held = _hold_file(ws, at)
    wait_for(lambda: held.exists() or run.poll() is not None, at)
    assert held.exists(), f"the run ended ({run.returncode}) and never came by {at}:\n{said(ws)}"
    pid = int(held.read_text())
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, f"a stop at {at}")
    return pid


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
