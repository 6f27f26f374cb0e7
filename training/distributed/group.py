"""The processes of one training: the first starts the others, all of them meet, and none outlives the first.

Everything that the others need lies in one folder, where they also meet: nothing listens for them on the network.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import FileStore, Store  # type: ignore[attr-defined]

from training.distributed.ranks import Ranks, RanksDifferError
from training.distributed.strategy import TIMEOUT, device_of

JOIN_S = 600.0
END_S = 120.0
DEATH_S = 10.0
POLL_S = 0.05
PR_SET_PDEATHSIG = 1
GROUP_FILE, STORE_FILE = "group.json", "store"
_INTERFACE, _CARDS = "GLOO_SOCKET_IFNAME", "CUDA_VISIBLE_DEVICES"


class RankDiedError(RuntimeError):
    """A process of a training over several devices ended on the way; the same call goes on from the last checkpoint."""


@dataclass(frozen=True)
class Member:
    """One process of a training: the folder of all, its place among them, Lightning's name for what they run on.

    `cards` are CUDA's names of the devices, the first process's own first; empty: those that it sees.
    """

    folder: Path
    ranks: Ranks
    accelerator: str
    cards: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return device_of(self.accelerator)

    def environment(self, rank: int) -> dict[str, str]:
        """What another process starts with: on GPUs it sees its own card alone."""
        if self.device.type == "cpu":
            return dict(os.environ)
        seen = os.environ.get(_CARDS)
        cards = self.cards or (tuple(seen.split(",")) if seen else tuple(map(str, range(self.ranks.count))))
        return {**os.environ, _CARDS: cards[rank]}


@contextmanager
def leading(module: str, member: Member) -> Iterator[None]:
    """Train as rank 0 beside `python -m MODULE FOLDER RANK` for each other rank; alone, do nothing.

    Raises RankDiedError where one of them ended; whatever ends this one ends them. Their folder goes when all is well,
    and keeps their logs otherwise.
    """
    if member.ranks.count == 1:
        yield
        return
    others = _start(module, member)
    try:
        store = _store(member)
        others.await_arrival(store)
        with _group(member, store), _watched(others, member):
            yield
            others.await_end()
    except RuntimeError as error:
        death = None if isinstance(error, RanksDifferError) else others.death(DEATH_S)
        if death is None:
            raise
        raise RankDiedError(f"{death} The same command goes on from the last checkpoint.") from error
    finally:
        others.kill()


def member_of(arguments: Sequence[str]) -> Member:
    """This process, started by `leading` with the arguments FOLDER and RANK; from here on it ends with its leader."""
    folder = Path(arguments[0])
    settings = json.loads((folder / GROUP_FILE).read_text())
    _end_with(settings["leader"])
    torch.backends.mkldnn.enabled = settings["mkldnn"]
    return Member(folder, Ranks(int(arguments[1]), settings["count"]), settings["accelerator"])


@contextmanager
def joined(member: Member) -> Iterator[None]:
    """Be one of the group, once everything that this process needs is read."""
    store = _store(member)
    store.set(_arrival(member.ranks.rank), "1")
    with _group(member, store):
        yield


@dataclass(frozen=True)
class _Others:
    """The ranks from 1 on."""

    folder: Path
    processes: tuple[subprocess.Popen[bytes], ...]

    def await_arrival(self, store: Store) -> None:
        """Wait until all of them have read what they need; raises RuntimeError where one ends or is late."""
        names = [_arrival(rank) for rank, _ in enumerate(self.processes, start=1)]
        deadline = time.monotonic() + JOIN_S
        while not store.check(names):
            if self.death(0.0) or time.monotonic() > deadline:
                raise RuntimeError(f"not every process of the training was there after {JOIN_S:g} s")
            time.sleep(POLL_S)

    def await_end(self) -> None:
        """Wait until all of them have ended well; raises RuntimeError where one has not."""
        deadline = time.monotonic() + END_S
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        if any(process.poll() != 0 for process in self.processes):
            raise RuntimeError(f"a process of the training did not end within {END_S:g} s")

    def death(self, within_s: float) -> str | None:
        """Which of them ended badly and what it said last; None where none does within some seconds."""
        deadline = time.monotonic() + within_s
        while True:
            for rank, process in enumerate(self.processes, start=1):
                if process.poll():
                    return f"Process {rank + 1} of {len(self.processes) + 1} ended: {self._reason(rank, process)}."
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_S)

    def kill(self) -> None:
        """End those that still run: what they hold is worth nothing without the first."""
        for process in self.processes:
            process.kill()
            process.wait()

    def _reason(self, rank: int, process: subprocess.Popen[bytes]) -> str:
        if process.returncode < 0:
            return f"killed by {signal.Signals(-process.returncode).name}"
        log = _log(self.folder, rank)
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing said")
        return f"{said} ({log})"


def _start(module: str, member: Member) -> _Others:
    settings = {
        "count": member.ranks.count,
        "accelerator": member.accelerator,
        "leader": os.getpid(),
        "mkldnn": bool(torch.backends.mkldnn.enabled),
    }
    (member.folder / GROUP_FILE).write_text(json.dumps(settings))
    (member.folder / STORE_FILE).unlink(missing_ok=True)
    return _Others(member.folder, tuple(_process(module, member, rank) for rank in range(1, member.ranks.count)))


def _process(module: str, member: Member, rank: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, str(member.folder), str(rank)]
    with _log(member.folder, rank).open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=member.environment(rank))


def _store(member: Member) -> Store:
    return FileStore(str(member.folder / STORE_FILE), member.ranks.count)


@contextmanager
def _group(member: Member, store: Store) -> Iterator[None]:
    """The process group: gloo for what is on the CPU, NCCL for what is on a GPU."""
    cuda = member.device.type == "cuda"
    with _over_loopback():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=store,
            rank=member.ranks.rank,
            world_size=member.ranks.count,
            timeout=TIMEOUT,
            device_id=member.device if cuda else None,
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _over_loopback() -> Iterator[None]:
    """All ranks are on this host: gloo need not ask by which address the network knows it."""
    if _INTERFACE in os.environ or not sys.platform.startswith("linux"):
        yield
        return
    os.environ[_INTERFACE] = "lo"
    try:
        yield
    finally:
        del os.environ[_INTERFACE]


@contextmanager
def _watched(others: _Others, member: Member) -> Iterator[None]:
    """On GPUs, end what waits for a dead rank: gloo notices a closed connection, NCCL does not."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            if others.death(0.0):
                dist.distributed_c10d._abort_process_group()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    if member.device.type == "cuda":
        watcher.start()
    try:
        yield
    finally:
        over.set()


def _end_with(leader: int) -> None:
    """Be killed when the first process dies. Linux's own means; elsewhere the next message to it fails."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != leader:
        sys.exit("the process that leads the training is gone")


def _arrival(rank: int) -> str:
    return f"arrived/{rank}"


def _log(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.log"
