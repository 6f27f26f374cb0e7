"""The queue for devices: a ticket for each step that wants some, on disk, served under one short lock.

A ticket gets all its devices at once or none, so that two that wait never hold what the other one needs. Those of
higher priority come first, then those that came first. One that does not fit lets later ones by, a bounded number of
times; then devices are kept free for it.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock

from orchestration.compute.inventory import Inventory
from orchestration.compute.processes import Life, beat_age, write_whole
from orchestration.compute_sections import DeviceRequest
from orchestration.workspace import Workspace

MAX_OVERTAKEN = 4
"""Grants to later tickets that one which does not fit bears, before devices are kept free for it."""
OVERTAKEN_PER_RANK = 16
"""Grants to later tickets after which one counts as of the next higher priority: nobody waits for ever."""
SERVE_EVERY_S = 0.25
ROUNDING_GB = 1e-6


@dataclass(frozen=True)
class Ticket:
    """One step's claim: what it asks for, and the indices it holds, none while it waits.

    `pinned` is the device that its process cannot leave; `since` is in seconds since 1970.
    """

    name: str
    who: str
    run: str
    life: Life
    devices: int
    memory_gb: float
    priority: int
    since: float
    pinned: int | None = None
    held: tuple[int, ...] = ()
    held_since: float | None = None
    overtaken: int = 0
    beat_s: float = 0.0

    @property
    def rank(self) -> tuple[int, float, str]:
        """Its place among those that wait."""
        return -(self.priority + self.overtaken // OVERTAKEN_PER_RANK), self.since, self.name


@dataclass
class _Free:
    """What nobody holds: devices, and memory in GB where steps share it."""

    devices: set[int]
    memory_gb: float | None

    def choice(self, ticket: Ticket) -> tuple[int, ...]:
        """The devices that a ticket would get, the one it is pinned to first; none when it does not fit."""
        if self.memory_gb is not None and ticket.memory_gb > self.memory_gb + ROUNDING_GB:
            return ()
        if ticket.pinned is not None and ticket.pinned not in self.devices:
            return ()
        first = () if ticket.pinned is None else (ticket.pinned,)
        chosen = (*first, *sorted(self.devices.difference(first)))[: ticket.devices]
        return chosen if len(chosen) == ticket.devices else ()

    def take(self, ticket: Ticket, chosen: Iterable[int]) -> None:
        self.devices -= set(chosen)
        if self.memory_gb is not None:
            self.memory_gb -= ticket.memory_gb

    def keep(self, ticket: Ticket) -> None:
        """Set aside what is free of what a ticket needs, so that it is all there one day."""
        others = ticket.devices - (ticket.pinned is not None)
        self.take(ticket, {*sorted(self.devices - {ticket.pinned})[:others], *self.devices & {ticket.pinned}})


def grants(tickets: Sequence[Ticket], devices: int, memory_gb: float | None) -> list[Ticket]:
    """The tickets that change when what is free is given out: those that get devices, and those they overtake."""
    holding = [ticket for ticket in tickets if ticket.held]
    free = _Free(set(range(devices)), memory_gb)
    for ticket in holding:
        free.take(ticket, ticket.held)
    changed: dict[str, Ticket] = {}
    passed: list[Ticket] = []
    waiting = sorted((ticket for ticket in tickets if not ticket.held), key=lambda ticket: ticket.rank)
    for ticket in (changed.get(ticket.name, ticket) for ticket in waiting):
        chosen = free.choice(ticket)
        if not chosen:
            passed.append(ticket)
            if ticket.overtaken >= MAX_OVERTAKEN:
                free.keep(ticket)
            continue
        free.take(ticket, chosen)
        changed[ticket.name] = replace(ticket, held=chosen, held_since=time.time())
        for one in _overtaken(waiting, changed, ticket):
            changed[one.name] = one
            if one.overtaken == MAX_OVERTAKEN and any(one.name == before.name for before in passed):
                free.keep(one)
    return list(changed.values())


def _overtaken(waiting: Sequence[Ticket], changed: dict[str, Ticket], by: Ticket) -> list[Ticket]:
    """Those that came before `by` and still wait, each counting once more."""
    now = (changed.get(ticket.name, ticket) for ticket in waiting)
    return [replace(one, overtaken=one.overtaken + 1) for one in now if not one.held and one.since < by.since]


@dataclass(frozen=True)
class Queue:
    """The tickets of one workspace, and what there is to give."""

    ws: Workspace
    devices: int
    memory_gb: float | None
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.ws.state / "devices")

    @classmethod
    def of(cls, ws: Workspace, machine: Inventory) -> Queue:
        """The queue for a machine's devices."""
        return cls(ws, len(machine.devices), machine.memory_gb)

    def enter(self, request: DeviceRequest, who: str, run: str, pinned: int | None) -> Ticket:
        """Stand in line: the ticket that is now waiting."""
        now = time.time()
        ticket = Ticket(
            f"{now:.6f}-{os.getpid()}-{uuid.uuid4().hex[:6]}",
            who,
            run,
            Life.of(os.getpid()),
            request.devices,
            request.memory_gb or 0.0,
            request.priority,
            now,
            pinned,
        )
        self._write(ticket)
        self.serve(at_once=True)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give back what is held, or stop waiting; whoever is next is served at once."""
        self.serve(at_once=True, without=ticket)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def read(self, name: str) -> Ticket | None:
        """A ticket as it stands; None when it is gone."""
        path = self.path(name)
        try:
            known = json.loads(path.read_text())
            beat_s = beat_age(path)
        except FileNotFoundError:
            return None
        known |= {"life": Life(**known["life"]), "held": tuple(known["held"]), "beat_s": beat_s}
        return Ticket(**known)

    def tickets(self) -> list[Ticket]:
        """All tickets, those of the dead too."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(ValueError, TypeError, KeyError):  # another version's, or no ticket at all
                found.append(self.read(path.stem))
        return [ticket for ticket in found if ticket is not None]

    def serve(self, *, at_once: bool = False, without: Ticket | None = None) -> list[Ticket]:
        """Throw out the dead, and `without`; give out what is free; returns the dead. Rests if that was done just now.

        Tickets come and go by it alone: what is written while the lock is held is of a ticket that is still there.
        """
        if not at_once and self._served_s() < SERVE_EVERY_S:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "queue.lock"):
            if without is not None:
                self.path(without.name).unlink(missing_ok=True)
            found = self.tickets()
            dead = [ticket for ticket in found if not ticket.life.alive(ticket.beat_s)]
            for ticket in dead:
                self.path(ticket.name).unlink(missing_ok=True)
            for changed in grants([ticket for ticket in found if ticket not in dead], self.devices, self.memory_gb):
                self._rewrite(changed)
            self._clock.touch()
        return dead

    @property
    def _clock(self) -> Path:
        return self.folder / "served"

    def _served_s(self) -> float:
        with suppress(FileNotFoundError):
            return abs(beat_age(self._clock))
        return SERVE_EVERY_S

    def _rewrite(self, ticket: Ticket) -> None:
        """Write another process's ticket; its heartbeat stays its own."""
        beat = self.path(ticket.name).stat()
        self._write(ticket)
        os.utime(self.path(ticket.name), ns=(beat.st_atime_ns, beat.st_mtime_ns))

    def _write(self, ticket: Ticket) -> None:
        write_whole(self.path(ticket.name), asdict(ticket))
