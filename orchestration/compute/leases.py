"""Device leases on one host: nothing computes in bulk without one, and a device has one holder at a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from data.errors import UserError
from orchestration.compute.inventory import (
    CARDS_VARIABLE,
    CUDA_VARIABLE,
    Inventory,
    accelerator_count,
    cards,
    inventory,
)
from orchestration.compute.processes import beating
from orchestration.compute.reaper import Reaping
from orchestration.compute.tickets import Queue, Ticket
from orchestration.compute_sections import DeviceRequest
from orchestration.params import Params
from orchestration.workspace import Workspace
from training.interruption import Interrupted

POLL_S = 0.1
VISIBLE_VARIABLE = "EDITLOOM_VISIBLE_DEVICES"
"""Indices of the devices that this process holds, virtual ones too."""
PINNED_VARIABLE = "EDITLOOM_DEVICE"
"""Index of the card that this process keeps to: CUDA does not let it change once it has begun."""


@dataclass(frozen=True)
class Lease:
    """The devices a step holds, and the accelerator to name to torch; `cards` are CUDA's names of them."""

    indices: tuple[int, ...]
    accelerator: str
    cards: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many devices; 0 for a step that needs none."""
        return len(self.indices)


NO_DEVICE = Lease((), "cpu")


@contextmanager
def lease_devices(
    ws: Workspace,
    request: DeviceRequest,
    who: str,
    run: str,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_wait: Callable[[str], None] = lambda told: None,
) -> Iterator[Lease]:
    """Hold the devices that `who` asks for; waits until all of them are free, and says so once through `on_wait`.

    The device that a process keeps to stands first in its leases. Raises UserError for a request that this machine can
    never meet, and Interrupted when it is asked to stop while it waits.
    """
    params = ws.params()
    machine = inventory(params)
    asked = request.model_copy(update={"memory_gb": request.memory_gb or params.compute.memory_gb})
    _require(asked, machine, params, who)
    pinned = os.environ.get(PINNED_VARIABLE)
    queue = Queue.of(ws, machine)
    ticket = queue.enter(asked, who, run, int(pinned) if pinned else None)
    try:
        with beating(queue.path(ticket.name)):
            indices = _wait(queue, ticket, should_stop, on_wait)
            with _visible(Lease(indices, machine.accelerator, _cards(machine, indices))) as lease:
                yield lease
    finally:
        queue.leave(ticket)


def _wait(
    queue: Queue, ticket: Ticket, should_stop: Callable[[], bool], on_wait: Callable[[str], None]
) -> tuple[int, ...]:
    told, reaping = False, Reaping(queue.ws)
    while True:
        now = queue.read(ticket.name)
        if now is None:
            raise RuntimeError(f"the ticket of {ticket.who} in {queue.folder} was taken away while it waited")
        if now.held:
            return now.held
        if should_stop():
            raise Interrupted(f"{ticket.who} was stopped while it waited for a device")
        if not told:
            on_wait("for a device" if ticket.devices == 1 else f"for {ticket.devices} devices")
            told = True
        queue.serve()
        reaping.tick()
        time.sleep(POLL_S)


def _require(request: DeviceRequest, machine: Inventory, params: Params, who: str) -> None:
    if not machine.devices:
        hint = "Set it to auto or cpu; `editloom doctor` shows what the machine has."
        raise UserError("params.yaml: compute.accelerator is cuda, and this machine shows no CUDA device.", hint)
    asset, have = who.partition("[")[0], len(machine.devices)
    key = f"compute.requests.{asset}"
    if request.devices > have:
        real = f" and {accelerator_count()} CUDA devices" if machine.accelerator == "cuda" else ""
        hint = f"Ask for fewer, or raise compute.devices (now {params.compute.devices}) where the machine has more."
        raise UserError(
            f"params.yaml: {key}.devices: {who} asks for {request.devices} devices; there are {have}{real}.", hint
        )
    room_gb, asked_gb = machine.memory_gb, request.memory_gb or 0.0
    if machine.accelerator == "cuda":
        known = [device.memory_gb for device in machine.devices if device.memory_gb is not None]
        room_gb = min(known) * request.devices if known else None
    if room_gb is not None and asked_gb > room_gb:
        key = f"{key}.memory_gb" if asset in params.compute.requests else "compute.memory_gb"
        hint = "Lower it to what the step needs and the machine has."
        raise UserError(f"params.yaml: {key}: {who} asks for {asked_gb:g} GB; there are {room_gb:.1f} GB.", hint)


def _cards(machine: Inventory, indices: tuple[int, ...]) -> tuple[str, ...]:
    named = {device.index: device.card for device in machine.devices}
    return tuple(named[index] for index in indices) if machine.accelerator == "cuda" else ()


@contextmanager
def _visible(lease: Lease) -> Iterator[Lease]:
    """Show this process what it holds and nothing else, as far as CUDA has not begun in it."""
    os.environ[VISIBLE_VARIABLE] = ",".join(map(str, lease.indices))
    pins = lease.accelerator == "cuda" and PINNED_VARIABLE not in os.environ
    if pins:
        if CUDA_VARIABLE not in os.environ:
            os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which the driver numbers them
        os.environ.setdefault(CARDS_VARIABLE, ",".join(cards()))
        os.environ[CUDA_VARIABLE] = ",".join(lease.cards)
        os.environ[PINNED_VARIABLE] = str(lease.indices[0])
    try:
        yield lease
    finally:
        os.environ.pop(VISIBLE_VARIABLE, None)
        if pins and not _cuda_began():
            os.environ.pop(PINNED_VARIABLE, None)


def _cuda_began() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
