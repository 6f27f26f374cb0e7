"""`docs/results.json`: figures written by the command that measured them, and the page made from them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from data.errors import UserError

RECORDS, PAGE = "results.json", "results.md"


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
class Record:
    """One figure. `bar` None: only reported. `value` None: not measured, and `note` says why."""

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


def record(
    docs: Path,
    *,
    group: str,
    name: str,
    value: float | None,
    unit: str,
    command: str,
    interval: tuple[float, float] | None = None,
    bar: Bar | None = None,
    note: str = "",
) -> Record:
    """Write one figure into `docs`/results.json, in place of an earlier one of the same group and name.

    Commit, machine and date are filled in here. Raises ValueError for a missing value that does not say why.
    """
    if value is None and not note:
        raise ValueError(f"{group}/{name} has no value: `note` must say why")
    met = None if bar is None or value is None else bar.met(value)
    made = Record(
        group=group,
        name=name,
        value=value,
        interval=interval,
        unit=unit,
        bar=bar.text if bar else None,
        met=met,
        command=command,
        commit=_commit(docs),
        machine=machine(),
        date=datetime.now(UTC).date().isoformat(),
        note=note,
    )
    docs.mkdir(parents=True, exist_ok=True)
    with FileLock(docs / f".{RECORDS}.lock"):
        others = [r for r in read_records(docs) if (r.group, r.name) != (group, name)]
        _write(docs, [*others, made])
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


def write_markdown(docs: Path) -> Path:
    """Write `docs`/results.md from results.json; the same records give the same bytes."""
    path = docs / PAGE
    path.write_text(render(read_records(docs)), encoding="utf-8")
    return path


def render(records: list[Record]) -> str:
    """The page: a table for each group."""
    lines = [
        "# Results",
        "",
        "Written by `make results` from results.json; each figure by the command that measured it.",
    ]
    for group in sorted({r.group for r in records}):
        lines += ["", f"## {group}", "", "| figure | value | interval | bar | met | measured by | on |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_row(r) for r in records if r.group == group]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Processor, cores and accelerator of this machine, in words and without its name."""
    return ", ".join(part for part in (_processor(), f"{usable_cores()} cores", _accelerator()) if part)


def usable_cores() -> int:
    """CPU cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _row(r: Record) -> str:
    value = f"– ({r.note})" if r.value is None else f"{r.value:.4g} {r.unit}".strip()
    note = f" ({r.note})" if r.note and r.value is not None else ""
    interval = f"{r.interval[0]:.4g} – {r.interval[1]:.4g}" if r.interval else ""
    met = {True: "yes", False: "**no**", None: ""}[r.met]
    cells = [r.name + note, value, interval, r.bar or "", met, f"`{r.command}`", f"{r.machine}; {r.commit}; {r.date}"]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
