"""A plan with its costs, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orchestration.compute.cost import PlannedCost, Total, total
from orchestration.plan import Action
from orchestration.terminal import unfolded

STYLES: dict[Action, str] = {"run": "yellow", "maybe": "magenta", "reuse": "cyan"}
UNKNOWN = "unknown"


def show_plan(rows: Sequence[PlannedCost], console: Console) -> None:
    """Print what would run, what would be reused, why, and what it should take; then the sums."""
    table = Table(title="Plan", title_justify="left")
    table.add_column("asset", no_wrap=True)
    table.add_column("action")
    for column in ("takes", "device-hours"):
        table.add_column(column, justify="right")
    for column in ("from", "why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        action = f"[{STYLES[row.item.action]}]{row.item.action}[/]"
        table.add_row(escape(str(row.item.id)), action, *_cost(row), escape("; ".join(row.item.reasons)))
    unfolded(console).print(table)
    for line in (_sum("To run", total(_of(rows, "run"))), _sum("Perhaps too", total(_of(rows, "maybe")))):
        if line:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_plan(rows: Sequence[PlannedCost], console: Console) -> None:
    """Print the plan as JSON."""
    console.print_json(data=plan_document(rows))


def plan_document(rows: Sequence[PlannedCost]) -> dict[str, Any]:
    """A plan's rows, and the sums of what runs and of what may run; what is unknown is null."""
    actions: tuple[Action, ...] = ("run", "maybe")
    return {
        "items": [_document(row) for row in rows],
        "expected": {action: asdict(total(_of(rows, action))) for action in actions},
    }


def _document(row: PlannedCost) -> dict[str, Any]:
    cost = row.expected
    return {
        "asset": str(row.item.id),
        "action": row.item.action,
        "reasons": list(row.item.reasons),
        "expected_seconds": None if cost is None else round(cost.seconds, 1),
        "expected_device_hours": None if cost is None else round(cost.device_seconds / 3600, 6),
        "from": cost.basis if cost is not None and cost.basis else None,
    }


def _of(rows: Sequence[PlannedCost], action: Action) -> list[PlannedCost]:
    return [row for row in rows if row.item.action == action]


def _cost(row: PlannedCost) -> tuple[str, str, str]:
    if row.item.action == "reuse":
        return "", "", ""
    if row.expected is None:
        return UNKNOWN, "", ""
    hours = f"{row.expected.device_seconds / 3600:.3g}" if row.expected.device_seconds else "0"
    return duration(row.expected.seconds), hours, row.expected.basis


def _sum(title: str, found: Total) -> str:
    """One line, empty for no assets: what is known, one step after the other, and how many assets are not in it."""
    if not found.assets:
        return ""
    assets = f"{title}: {found.assets} asset{'' if found.assets == 1 else 's'}"
    if found.unknown == found.assets:
        return f"{assets}, of which no run is known yet: what they take is {UNKNOWN}."
    rest = f"; {found.unknown} of them are unknown and not in the sum" if found.unknown else ""
    return f"{assets}, {duration(found.seconds)} one after the other, {found.device_hours:.3g} device-hours{rest}."


def duration(seconds: float) -> str:
    """`8.2 s`, `3.4 min` or `1.5 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
