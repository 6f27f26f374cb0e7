"""What the steps themselves wrote down of the devices they held, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """One step's time with its devices, in seconds of one clock; `asked` is when it began to want them."""

    name: str
    devices: tuple[int, ...]
    asked: float
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def read_log(path: Path) -> list[Held]:
    """Every begin with its ask and its end, in order of begin; raises KeyError for one that never ended."""
    asked: dict[str, float] = {}
    open_: dict[str, float] = {}
    found = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["event"] == "ask":
            asked[row["name"]] = row["at"]
        elif row["event"] == "begin":
            open_[row["name"]] = row["at"]
        else:
            name = row["name"]
            found.append(Held(name, tuple(row["devices"]), asked[name], open_.pop(name), row["at"]))
    return sorted(found, key=lambda held: held.begin)


def most_holders(log: Sequence[Held]) -> int:
    """The most steps that held the same device at the same time."""
    most = 1 if log else 0
    for device in {index for held in log for index in held.devices}:
        own = [held for held in log if device in held.devices]
        for first in own:
            most = max(most, sum(1 for other in own if other.begin <= first.begin < other.end))
    return most


def gaps(log: Sequence[Held], device: int) -> list[float]:
    """Seconds for which a device stood idle between two holders."""
    own = sorted((held for held in log if device in held.devices), key=lambda held: held.begin)
    return [after.begin - before.end for before, after in pairwise(own)]
