"""Which processes work in a workspace, and whether they live.

A process is known by its number, the time it began, and the place whose numbers those are. From the same place a
death is seen at once, however it came. From another one, over a shared disk, only the heartbeat tells: each process
touches what it has written down every few seconds.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

from orchestration.workspace import Workspace

HEARTBEAT_S = 5.0
SILENT_S = 60.0
"""A process of another place is taken for dead when its heartbeat is older than this."""
BORN_TOLERANCE_S = 2.0
WORKER_TAG = "editloom/process"
"""Tag of a Dagster run that names the record of the process that executes it."""

Role = Literal["worker", "step", "executor"]


@dataclass(frozen=True)
class Life:
    """One process, told apart from every other one before or after it. `born` in seconds since 1970."""

    pid: int
    born: float
    host: str
    place: str

    @classmethod
    def of(cls, pid: int) -> Life:
        """The process `pid` of this place; raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time(), socket.gethostname(), _place())

    def alive(self, beat_s: float) -> bool:
        """Whether it lives, `beat_s` being the age of its last heartbeat in seconds."""
        if self.place != _place():
            return beat_s <= SILENT_S
        try:
            found = psutil.Process(self.pid)
            same = abs(float(found.create_time()) - self.born) < BORN_TOLERANCE_S
            return same and bool(found.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Registered:
    """A process that executes a Dagster run or one step of it. `status`: the file in which the step says how it is."""

    name: str
    role: Role
    what: str
    run: str
    life: Life
    status: str = ""
    alive: bool = True


def folder(ws: Workspace) -> Path:
    """Where processes write down that they work here."""
    return ws.state / "processes"


@contextmanager
def registered(ws: Workspace, role: Role, what: str, run: str = "", status: Path | None = None) -> Iterator[str]:
    """This process is known to work here until the block ends; yields its record's name."""
    name = f"{run or role}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    record = Registered(name, role, what, run, Life.of(os.getpid()), str(status or ""))
    path = folder(ws) / f"{name}.json"
    write_whole(path, asdict(record))
    try:
        with beating(path):
            yield name
    finally:
        path.unlink(missing_ok=True)


def register_executor(ws: Workspace, run: str) -> None:
    """Where this process is a step's child of the process that executes `run`, write that one down too.

    It may live on between steps, when no step says so. The reaper removes the record after its death.
    """
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    with suppress(psutil.NoSuchProcess):
        name = f"{run}-executor-{parent.pid}"
        record = Registered(name, "executor", "executes a run's steps", run, Life.of(parent.pid))
        write_whole(folder(ws) / f"{name}.json", asdict(record))


def registrations(ws: Workspace) -> list[Registered]:
    """Every process that said it works here and did not say that it left, each with whether it lives."""
    found = []
    for path in sorted(folder(ws).glob("*.json")):
        with suppress(OSError, ValueError, TypeError):  # it may leave while we read
            known = json.loads(path.read_text())
            life = Life(**known["life"])
            beat_s = beat_age(path)
            found.append(Registered(**{**known, "life": life, "alive": life.alive(beat_s)}))
    return found


def forget(ws: Workspace, record: Registered) -> None:
    """Remove the record of a dead process."""
    (folder(ws) / f"{record.name}.json").unlink(missing_ok=True)


def beat_age(path: Path) -> float:
    """Seconds since the owner of `path` last touched it. Raises FileNotFoundError."""
    return time.time() - path.stat().st_mtime


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """Touch `path` every few seconds while the block runs."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_S):
            with suppress(OSError):  # full disks and removed files end no step
                os.utime(path)

    thread = threading.Thread(target=beat, name=f"heartbeat of {path.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def write_whole(path: Path, document: object) -> None:
    """Write JSON so that a reader sees all of it or what stood there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


@cache
def _place() -> str:
    """What two processes share when the one sees the other by its number: host, boot and process namespace."""
    known = [socket.gethostname(), str(round(psutil.boot_time(), -1))]
    with suppress(OSError):
        known[1] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        known.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(known)
