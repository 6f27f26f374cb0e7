"""Trade-off curves: what an edit costs at the same success, ours against each baseline, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.fusion.edit_measures import Ratio
from evaluation.metrics.intervals import Bootstrap

Floats = NDArray[np.float64]
Verdict = Literal["wins", "loses", "open", "neither"]
LEVELS = (0.5, 0.75, 0.9, 0.95)
"""Shares of success at which costs are compared; the highest that both methods reach is added."""
COSTS: Mapping[str, float] = {"change_outside": 1.0, "identity_cosine": -1.0, "seam": 1.0}
"""What is compared at the same success; 1 where lower is better, −1 where higher is."""
UNTOUCHED: Mapping[str, float] = {
    "success": 0.0, "change_outside": 0.0, "identity_cosine": 1.0, "pose_change": 0.0, "seam": 0.0,
}  # fmt: skip
"""Strength 0 of every method: the original, chosen because it lacks the attribute."""


@dataclass(frozen=True)
class Curve:
    """One method over its strengths (S, rising, above 0): measures by name, each S×N numerators and denominators."""

    key: str
    title: str
    strengths: tuple[float, ...]
    measures: Mapping[str, Ratio]

    def values(self, name: str, weights: Floats | None = None) -> Floats:
        """A measure over the strengths for R weightings of the N images (one, of equal weights, without).

        Shapes: R×N → R×S. A point without anything to measure on is 0.
        """
        ratio = self.measures[name]
        weights = np.ones((1, ratio.above.shape[1])) if weights is None else weights
        above, below = weights @ ratio.above.T, weights @ ratio.below.T
        return np.divide(above, below, out=np.zeros_like(above), where=below > 0)

    def strength_like(self, success: float) -> float:
        """The least strength whose success comes within 0.02 of `success`, else the most successful one."""
        reached = self.values("success")[0]
        near = np.flatnonzero(reached >= success - 0.02)
        return self.strengths[int(near[0]) if len(near) else int(reached.argmax())]


@dataclass(frozen=True)
class Comparison:
    """Ours against a baseline in one cost at the same success; None where a method never succeeds so often.

    `interval` is of ours − theirs, over resampled images; a resample in which a method falls short of the level
    compares at the best success of both. `highest` marks that success as the level itself.
    """

    baseline: str
    cost: str
    success: float
    highest: bool
    ours: float | None
    theirs: float | None
    interval: tuple[float, float] | None
    verdict: Verdict


def stack(points: Sequence[Mapping[str, Ratio]]) -> Mapping[str, Ratio]:
    """The measures of S points (N each) as those of a curve, S×N."""
    return {
        name: Ratio(np.stack([p[name].above for p in points]), np.stack([p[name].below for p in points]))
        for name in points[0]
    }


def at_success(success: Floats, values: Floats, level: Floats) -> Floats:
    """Each curve's value where its success first reaches its level, between points linearly; NaN where never.

    Shapes: R×S, R×S, R → R; strength 0 is the first point and lies below the level.
    """
    reached = success >= level[:, None] - 1e-12
    after = reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(success))
    low, high = success[rows, before], success[rows, after]
    rise = high - low
    share = np.divide(level - low, rise, out=np.zeros_like(rise), where=rise > 0)
    found = values[rows, before] + np.clip(share, 0.0, 1.0) * (values[rows, after] - values[rows, before])
    return np.where(reached.any(axis=1), found, np.nan)


def compare(ours: Curve, theirs: Curve, bootstrap: Bootstrap) -> tuple[Comparison, ...]:
    """Compare two curves of the same N images in every cost, at every level and at the highest that both reach."""
    images = ours.measures["success"].above.shape[1]
    draws = np.random.Generator(np.random.PCG64(bootstrap.seed))
    resampled = draws.multinomial(images, np.full(images, 1.0 / images), size=bootstrap.replicates)
    weights = np.concatenate([np.ones((1, images)), resampled.astype(np.float64)])  # first, what was measured
    return tuple(
        _compared(ours, theirs, cost, level, weights, bootstrap.level) for level in (*LEVELS, None) for cost in COSTS
    )


def _compared(
    ours: Curve, theirs: Curve, cost: str, level: float | None, weights: Floats, confidence: float
) -> Comparison:
    """`level` None: the highest success that both reach, in each resample its own."""
    reached = [_from_untouched(curve, "success", weights) for curve in (ours, theirs)]
    best = np.minimum(reached[0].max(axis=1), reached[1].max(axis=1))
    wanted = best if level is None else np.minimum(level, best)
    wanted[0] = best[0] if level is None else level  # what was measured is not brought down to what both reach
    mine, other = (
        np.where(wanted > 0, at_success(success, _from_untouched(curve, cost, weights), wanted), np.nan)
        for success, curve in zip(reached, (ours, theirs), strict=True)
    )
    interval = None if np.isnan(mine[0] - other[0]) else _interval((mine - other)[1:], confidence)
    verdict = _verdict(_known(mine[0]), _known(other[0]), interval, COSTS[cost])
    return Comparison(
        theirs.key, cost, float(wanted[0]), level is None, _known(mine[0]), _known(other[0]), interval, verdict
    )


def _from_untouched(curve: Curve, name: str, weights: Floats) -> Floats:
    """A measure over the strengths with strength 0 before them: R×(1+S)."""
    start = np.full((len(weights), 1), UNTOUCHED[name])
    return np.concatenate([start, curve.values(name, weights)], axis=1)


def _interval(differences: Floats, confidence: float) -> tuple[float, float] | None:
    known = differences[~np.isnan(differences)]
    if not len(known):
        return None
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def _verdict(mine: float | None, other: float | None, interval: tuple[float, float] | None, sign: float) -> Verdict:
    if mine is None or other is None:  # a method that does not succeed so often loses to one that does
        return "neither" if mine is other else "loses" if mine is None else "wins"
    if interval is None:
        return "open"
    low, high = sorted(sign * end for end in interval)
    return "wins" if high < 0 else "loses" if low > 0 else "open"


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def not_won(comparisons: Sequence[Comparison], baseline: str, cost: str = "change_outside") -> tuple[Comparison, ...]:
    """Where ours does not win against a baseline in a cost, though one of the two succeeds so often."""
    return tuple(
        one
        for one in comparisons
        if one.baseline == baseline and one.cost == cost and one.verdict not in ("wins", "neither")
    )


def curve_record(curve: Curve) -> dict[str, Any]:
    """Return a curve as a JSON-able record: one point per strength."""
    columns = {name: curve.values(name)[0] for name in curve.measures}
    points = [
        {"strength": strength, **{name: float(values[i]) for name, values in columns.items()}}
        for i, strength in enumerate(curve.strengths)
    ]
    return {"key": curve.key, "title": curve.title, "points": points}
