"""Live progress: each step writes one small file, whoever watches reads them all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from training.progress import Progress

WRITE_EVERY_S = 0.25


@dataclass
class StepStatus:
    """What one step says of itself: `state` is waiting, running, done, reused, refused, failed, stopped or
    skipped."""

    asset: str
    state: str = "waiting"
    step: int = 0
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    seconds_left: float = 0.0
    seconds: float = 0.0
    note: str = ""
    error: str = ""
    user_error: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


class StatusFile:
    """Writes one step's status atomically, at most four times a second while it runs."""

    def __init__(self, folder: Path, asset: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{asset.replace('/', '@')}.json"
        self.status = StepStatus(asset)
        self._started = time.monotonic()
        self._written = 0.0

    def begin(self) -> None:
        """Say that the step runs."""
        self._started = time.monotonic()
        self._set(state="running")

    def __call__(self, progress: Progress) -> None:
        """Take one progress report."""
        known = asdict(progress)
        known["metrics"] = dict(progress.metrics)
        for key, value in known.items():
            setattr(self.status, key, value)
        if time.monotonic() - self._written >= WRITE_EVERY_S:
            self._set(state="running")

    def end(self, state: str, *, note: str = "", error: str = "", user_error: bool = False) -> None:
        """Say how the step ended."""
        self._set(state=state, note=note, error=error, user_error=user_error)

    def _set(self, **changes: Any) -> None:
        for key, value in changes.items():
            setattr(self.status, key, value)
        self.status.seconds = time.monotonic() - self._started
        self._written = time.monotonic()
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self.status)))
        temporary.replace(self.path)


def read_statuses(folder: Path) -> dict[str, StepStatus]:
    """Every status in `folder`, by asset id."""
    found = (StepStatus(**json.loads(p.read_text())) for p in sorted(folder.glob("*.json")))
    return {status.asset: status for status in found}


_STYLE = {
    "done": "green",
    "reused": "cyan",
    "running": "yellow",
    "stopped": "yellow",
    "failed": "red",
    "refused": "red",
    "waiting": "dim",
    "skipped": "dim",
}


def status_table(order: Iterable[str], statuses: dict[str, StepStatus], title: str) -> Table:
    """The live table: one row an asset."""
    table = Table(title=title, title_justify="left", expand=False)
    for column in ("asset", "state", "progress", "rate", "left", "took"):
        table.add_column(column, justify="left" if column in {"asset", "state"} else "right")
    for asset in order:
        status = statuses.get(asset, StepStatus(asset))
        table.add_row(*_row(status))
    return table


def _row(status: StepStatus) -> tuple[str, ...]:
    running = status.state == "running"
    share = f"{status.step:,}/{status.total:,} {status.unit}" if status.total else ""
    return (
        escape(status.asset),
        f"[{_STYLE.get(status.state, 'white')}]{status.state}[/]",
        share or escape(status.note),
        f"{status.rate:,.1f} {status.unit}/s" if running and status.rate else "",
        _clock(status.seconds_left) if running and status.seconds_left else "",
        _clock(status.seconds) if status.seconds else "",
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
