"""Live progress: each step writes one small file, whoever watches reads them all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from data.disk_space import DiskFullError
from data.whole_file import written_whole
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

    @classmethod
    def over(cls, path: Path, status: StepStatus) -> StatusFile:
        """The file of a step whose process is gone, with what it said last, for the reaper to end it."""
        made = cls(path.parent, status.asset)
        made.path, made.status, made._started = path, status, time.monotonic() - status.seconds
        return made

    def wait(self, note: str) -> None:
        """Say what the step waits for: `note` goes on after "waiting"."""
        self._set(state="waiting", note=note)

    def begin(self) -> None:
        """Say that the step runs."""
        self._started = time.monotonic()
        self._set(state="running", note="")

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
        said = json.dumps(asdict(self.status))
        try:
            with written_whole(self.path, durable=False) as part:
                part.write_text(said)
        except DiskFullError:
            self._overwrite(said)

    def _overwrite(self, said: str) -> None:
        """On a full disk the last word is written over the one before, whose place on the disk it takes."""
        with suppress(OSError), self.path.open("r+b", buffering=0) as file:
            file.write(said.encode().ljust(self.path.stat().st_size))


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
