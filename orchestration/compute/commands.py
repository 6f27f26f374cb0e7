"""`editloom devices`: who holds what, since when, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.terminal import unfolded

if TYPE_CHECKING:
    from orchestration.compute.inventory import Inventory
    from orchestration.compute.tickets import Ticket


def devices(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    reap: Annotated[bool, typer.Option("--reap", help="First give back what dead processes held.")] = False,
) -> None:
    """Devices: who holds them, since when, and what waits for them."""
    from orchestration.compute.inventory import inventory
    from orchestration.compute.reaper import reap as reap_dead
    from orchestration.compute.tickets import Queue
    from orchestration.workspace import Workspace

    ws = Workspace.current()
    reaped = reap_dead(ws, thorough=True) if reap else None
    machine = inventory(ws.params())
    queue = Queue.of(ws, machine)
    queue.serve(at_once=True)
    tickets = queue.tickets()
    if as_json:
        document = {**_document(machine, tickets), **({"reaped": reaped.told} if reaped else {})}
        Console(soft_wrap=True).print_json(data=document)
        return
    console = unfolded(Console(highlight=False))
    if reaped:
        console.print(escape(reaped.told))
    console.print(_held_table(machine, tickets))
    console.print(_waiting_table(machine, tickets) if _line(tickets) else "Nothing waits.")


def _document(machine: Inventory, tickets: list[Ticket]) -> dict[str, Any]:
    held = {index: ticket for ticket in tickets for index in ticket.held}
    return {
        "accelerator": machine.accelerator,
        "devices": [
            {
                "index": device.index,
                "name": device.name,
                "memory_gb": device.memory_gb,
                "holder": _claim(held[device.index]) if device.index in held else None,
            }
            for device in machine.devices
        ],
        "waiting": [_claim(ticket) for ticket in _line(tickets)],
    }


def _claim(ticket: Ticket) -> dict[str, Any]:
    return {
        "asset": ticket.who,
        "run": ticket.run,
        "pid": ticket.life.pid,
        "host": ticket.life.host,
        "devices": ticket.devices,
        "held": list(ticket.held),
        "memory_gb": ticket.memory_gb,
        "priority": ticket.priority,
        "since": _utc(ticket.held_since or ticket.since),
        "heartbeat_s": round(max(ticket.beat_s, 0.0), 1),
        "overtaken": ticket.overtaken,
    }


def _held_table(machine: Inventory, tickets: list[Ticket]) -> Table:
    table = Table(title="Devices", title_justify="left")
    for column in ("device", "what", "memory", "held by", "run", "process", "since", "heartbeat"):
        table.add_column(column)
    held = {index: ticket for ticket in tickets for index in ticket.held}
    for device in machine.devices:
        memory = f"{device.memory_gb:.0f} GB" if device.memory_gb else ""
        row = (str(device.index), device.name, memory)
        table.add_row(*row, *(_holder(held[device.index]) if device.index in held else ("free", "", "", "", "")))
    return table


def _holder(ticket: Ticket) -> tuple[str, ...]:
    since, beat = _clock(ticket.held_since or ticket.since), f"{max(ticket.beat_s, 0.0):.0f} s ago"
    return escape(ticket.who), ticket.run[:8], _process(ticket), since, beat


def _waiting_table(machine: Inventory, tickets: list[Ticket]) -> Table:
    room = f", {machine.memory_gb:.0f} GB to share" if machine.memory_gb else ""
    table = Table(title=f"Waiting{room}", title_justify="left")
    for column in ("asset", "asks for", "priority", "run", "process", "since", "overtaken"):
        table.add_column(column)
    for ticket in _line(tickets):
        asks = f"{ticket.devices} × device, {ticket.memory_gb:g} GB"
        who = (escape(ticket.who), asks, str(ticket.priority), ticket.run[:8], _process(ticket))
        table.add_row(*who, _clock(ticket.since), f"{ticket.overtaken} times")
    return table


def _line(tickets: list[Ticket]) -> list[Ticket]:
    return sorted((ticket for ticket in tickets if not ticket.held), key=lambda ticket: ticket.rank)


def _process(ticket: Ticket) -> str:
    return f"{ticket.life.pid} on {ticket.life.host}"


def _clock(at_s: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def _utc(at_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
