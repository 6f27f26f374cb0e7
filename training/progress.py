"""What a long computation tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One report: `step` of `total` in `unit`, at `rate` units/s, with `seconds_left` to go."""

    step: int
    total: int
    unit: str
    rate: float
    seconds_left: float
    note: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


ProgressFn = Callable[[Progress], None]
