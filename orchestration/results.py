"""`docs/results.json`: figures, each written by the command that measured it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from data.errors import UserError

RECORDS = "results.json"


@dataclass(frozen=True)
class Bar:
    """What a value must reach; the bounds are included."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Whether `value` reaches the bar; NaN does not."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most) and value == value

    @property
    def text(self) -> str:
        """`≥ 0.9`, `≤ 30` or both."""
        low = None if self.at_least is None else f"≥ {self.at_least:g}"
        high = None if self.at_most is None else f"≤ {self.at_most:g}"
        return ", ".join(part for part in (low, high) if part)


@dataclass(frozen=True)
class Figure:
    """What a measurement says. `bar` None: only reported. `value` None: not measured, and `note` says why.

    `commit` and `date` are of the code that made what was measured; empty: the repository's commit now, and today.
    """

    name: str
    value: float | None
    unit: str
    interval: tuple[float, float] | None = None
    bar: Bar | None = None
    note: str = ""
    commit: str = ""
    date: str = ""


@dataclass(frozen=True)
class Record:
    """One figure as it stands in the file: with its group, and who measured it, on what, when."""

    group: str
    name: str
    value: float | None
    interval: tuple[float, float] | None
    unit: str
    bar: str | None
    met: bool | None
    command: str
    commit: str
    machine: str
    date: str
    note: str = ""


def record(docs: Path, figure: Figure, *, group: str, command: str) -> Record:
    """Write one figure into `docs`/results.json, see `record_all`."""
    return record_all(docs, [figure], group=group, command=command)[0]


def record_all(
    docs: Path, figures: Sequence[Figure], *, group: str, command: str, complete: bool = False
) -> list[Record]:
    """Write figures into `docs`/results.json, each in place of an earlier one of the same group and name.

    The machine is filled in here, commit and date where a figure has none. `complete`: these are all the figures that
    `command` has, so that earlier ones of it under other names go. Raises ValueError for a missing value that does
    not say why.
    """
    silent = [figure.name for figure in figures if figure.value is None and not figure.note]
    if silent:
        raise ValueError(f"{group}/{silent[0]} has no value: `note` must say why")
    now = Figure("", None, "", commit=_commit(docs), date=datetime.now(UTC).date().isoformat())
    where = machine()
    made = [_record(figure, now, group, command, where) for figure in figures]
    names = {figure.name for figure in figures}
    docs.mkdir(parents=True, exist_ok=True)
    with FileLock(docs / f".{RECORDS}.lock"):
        others = [r for r in read_records(docs) if r.group != group or r.name not in names]
        kept = [r for r in others if not complete or (r.group, r.command) != (group, command)]
        _write(docs, [*kept, *made])
    return made


def read_records(docs: Path) -> list[Record]:
    """All figures, by group and name; raises UserError for a file that is not a list of records."""
    path = docs / RECORDS
    if not path.exists():
        return []
    try:
        return sorted((_parse(row) for row in json.loads(path.read_text("utf-8"))), key=lambda r: (r.group, r.name))
    except (ValueError, TypeError) as error:
        hint = f"It should be a JSON list of records with the keys {', '.join(f.name for f in fields(Record))}."
        raise UserError(f"{path} cannot be read: {error}.", hint) from None


def machine() -> str:
    """Processor, cores and accelerator of this machine, in words and without its name."""
    return ", ".join(part for part in (_processor(), f"{usable_cores()} cores", _accelerator()) if part)


def usable_cores() -> int:
    """CPU cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _record(figure: Figure, now: Figure, group: str, command: str, where: str) -> Record:
    bar, value = figure.bar, figure.value
    return Record(
        group=group,
        name=figure.name,
        value=value,
        interval=figure.interval,
        unit=figure.unit,
        bar=bar.text if bar else None,
        met=None if bar is None or value is None else bar.met(value),
        command=command,
        commit=figure.commit or now.commit,
        machine=where,
        date=figure.date or now.date,
        note=figure.note,
    )


def _parse(row: dict[str, Any]) -> Record:
    interval = row.get("interval")
    return Record(**{**row, "interval": None if interval is None else (float(interval[0]), float(interval[1]))})


def _write(docs: Path, records: list[Record]) -> None:
    """Atomically: a reader sees the old list or the new one."""
    rows = [asdict(r) for r in sorted(records, key=lambda r: (r.group, r.name))]
    staged = docs / f".{RECORDS}.{os.getpid()}"
    staged.write_text(json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    staged.replace(docs / RECORDS)


def _commit(docs: Path) -> str:
    """The repository's commit, with `+` when files other than results were changed since."""
    where = docs if docs.is_dir() else docs.parent
    head = _git(where, "rev-parse", "--short=12", "HEAD")
    if not head:
        return "none"
    changed = _git(where, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)docs")
    return head + ("+" if changed else "")


def _git(where: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=where, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _accelerator() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ", ".join(done.stdout.split("\n")).strip(", ") if done.returncode == 0 else ""
