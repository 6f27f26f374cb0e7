"""What a measurement returns: the value, how sure it is, and which judge gave it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A confidence interval of `level` (0..1) and how it was made."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class Judge:
    """Name and digest of what judged; two numbers of different judges are never compared."""

    name: str
    digest: str


CLOSED_FORM = Judge("closed_form", "")
"""The judge of measures that need no network: pixels alone."""

RENDERER = Judge("renderer", "")
"""The judge of measures that use the renderer's own regions and counterfactuals."""


@dataclass(frozen=True)
class Metric:
    """One measured figure; `value` is None when it could not be measured, and `note` says why."""

    name: str
    value: float | None
    n: int
    interval: Interval | None
    unit: str
    judge: str
    judge_digest: str
    protocol: str
    higher_is_better: bool | None = None
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Return the metric as a JSON-able record, its interval as a record of its own."""
        return asdict(self)

    def bound(self, value: float) -> str:
        """Return an end of the interval as people read it."""
        return format_value(value, self.unit)

    @property
    def text(self) -> str:
        """The value with its unit's usual number of decimals, or a dash."""
        return "–" if self.value is None else format_value(self.value, self.unit)


_DECIMALS = {"share": 3, "cosine": 3, "dB": 2, "degrees": 2, "levels": 2, "distance": 3, "ratio": 3, "mmd2": 4}


def format_value(value: float, unit: str) -> str:
    """Return `value` as people read it: shares in per cent, other units with fixed decimals."""
    if unit == "share":
        return f"{100 * value:.1f} %"
    suffix = {"dB": " dB", "degrees": "°"}.get(unit, "")
    return f"{value:.{_DECIMALS.get(unit, 3)}f}{suffix}"


def not_measured(metric: str, unit: str, judge: Judge, protocol: str, why: str, n: int = 0) -> Metric:
    """Return a metric without a value that says why it has none."""
    return Metric(metric, None, n, None, unit, judge.name, judge.digest, protocol, note=why)
