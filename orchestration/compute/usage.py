"""What the making of a payload used, summed over every attempt at it: time, devices, memory, how busy they were."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

USAGE_FILE = "usage.json"
"""Stands in an attempt's workdir, beside its checkpoints: it survives a kill, travels with them and goes with them."""


@dataclass(frozen=True)
class Usage:
    """Sums over attempts, but for the peaks.

    seconds: wall time from the step's begin to its publication. device_seconds: the same times the devices held.
    held_s, busy_s: on a GPU the seconds of devices held, and how many of them the driver calls busy; else the seconds
    of threads held, and CPU seconds, child processes included. counted: images (or pairs) in counted_s of progress.
    """

    attempts: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    held_s: float = 0.0
    busy_s: float = 0.0
    peak_memory_mb: float = 0.0
    peak_device_memory_mb: float = 0.0
    counted: int = 0
    counted_s: float = 0.0
    unit: str = ""

    def plus(self, other: Usage) -> Usage:
        """This and a later attempt's use together."""
        return Usage(
            attempts=self.attempts + other.attempts,
            seconds=self.seconds + other.seconds,
            device_seconds=self.device_seconds + other.device_seconds,
            held_s=self.held_s + other.held_s,
            busy_s=self.busy_s + other.busy_s,
            peak_memory_mb=max(self.peak_memory_mb, other.peak_memory_mb),
            peak_device_memory_mb=max(self.peak_device_memory_mb, other.peak_device_memory_mb),
            counted=self.counted + other.counted,
            counted_s=self.counted_s + other.counted_s,
            unit=other.unit or self.unit,
        )

    @property
    def rate(self) -> float | None:
        """Images (or pairs) a second while they were counted; None where nothing was."""
        return self.counted / self.counted_s if self.counted and self.counted_s else None

    @property
    def facts(self) -> dict[str, float | int]:
        """What both pages show, by name; memory in MB of 10⁶ bytes, utilisation as a share of what was held."""
        known: dict[str, float | int] = {
            "seconds": round(self.seconds, 1),
            "device_seconds": round(self.device_seconds, 1),
            "peak_memory_mb": round(self.peak_memory_mb),
            "utilisation": round(self.busy_s / self.held_s, 3) if self.held_s else 0.0,
            "attempts": self.attempts,
        }
        if self.rate is not None:
            known[f"{self.unit}_per_s"] = round(self.rate, 2)
        if self.peak_device_memory_mb:
            known["peak_device_memory_mb"] = round(self.peak_device_memory_mb)
        return known


FREE: Mapping[str, float] = {"device_seconds": 0.0}
"""What the page shows of a materialization that was reused: it held no device."""


def read_usage(workdir: Path) -> Usage:
    """What earlier attempts in `workdir` wrote down; nothing where there was none, or where it cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        known = json.loads((workdir / USAGE_FILE).read_text("utf-8"))
        return replace(Usage(), **{f.name: known[f.name] for f in fields(Usage) if f.name in known})
    return Usage()


def write_usage(workdir: Path, usage: Usage) -> None:
    """Write it down atomically; a full disk or a folder that is gone costs the record and never the step."""
    staged = workdir / f".{USAGE_FILE}.{os.getpid()}"
    with suppress(OSError):
        staged.write_text(json.dumps(asdict(usage)), encoding="utf-8")
        staged.replace(workdir / USAGE_FILE)
        return
    with suppress(OSError):
        staged.unlink(missing_ok=True)
