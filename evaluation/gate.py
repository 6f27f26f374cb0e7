"""The gate: what a policy asks of a model, held against measurements; no file, no tracking server, only numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from evaluation.edit_report import EditReport
from evaluation.gate_policy import ModelPolicy, NotWorse, Requirement, SliceRule
from evaluation.metrics.measure import Keep, Measure
from evaluation.metrics.metric import Metric, format_value
from evaluation.metrics.paired import Difference, paired_difference
from evaluation.slices import SliceMetric, slice_metrics

FEWEST_DIFFERING = 30
"""From this many images on that two versions answer differently, they are looked at alone too."""
SAME_LEVELS = 2
"""Up to this difference of any pixel, in levels of 255, two answers are the same."""
OutcomeName = Literal["passed", "refused", "awaiting_approval"]
PASSED: OutcomeName = "passed"
REFUSED: OutcomeName = "refused"
AWAITING: OutcomeName = "awaiting_approval"


@dataclass(frozen=True)
class CheckFact:
    """What a check outside the measurements found."""

    passed: bool
    summary: str


@dataclass(frozen=True)
class RuleResult:
    """One rule held against the measurements: `sentence` says what failed, by how much; or that it holds."""

    rule: str
    required: str
    measured: str
    passed: bool
    sentence: str

    def record(self) -> dict[str, Any]:
        """Return the result as a JSON-able record."""
        return asdict(self)


@dataclass(frozen=True)
class Decision:
    """What the gate says, and every rule with what was measured for it."""

    outcome: OutcomeName
    rules: tuple[RuleResult, ...]

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        """The rules that do not hold."""
        return tuple(rule for rule in self.rules if not rule.passed)

    @property
    def summary(self) -> str:
        """Which rules failed and by how much, or how many hold."""
        return "; ".join(rule.sentence for rule in self.failed) or f"all {len(self.rules)} rules hold"


def decide(
    policy: ModelPolicy, candidate: EditReport, champion: EditReport | None, checks: Mapping[str, CheckFact]
) -> Decision:
    """Hold a candidate against the policy, and against the champion where there is one.

    Both reports must be of the same images and judges: raises ValueError for other images; other judges fail the rule.
    A check that the policy asks for and nobody made fails.
    """
    if champion is not None and (champion.protocol, champion.names) != (candidate.protocol, candidate.names):
        raise ValueError("candidate and champion were not measured on the same images")
    rules = (
        *(_required(rule, candidate) for rule in policy.requires),
        *(result for rule in policy.slices for result in _sliced(rule, candidate)),
        *(_against(rule, candidate, champion) for rule in policy.not_worse if champion is not None),
        *(_differing(policy, candidate, champion) if champion is not None else ()),
        *(_checked(name, checks.get(name)) for name in policy.checks),
    )
    if not all(rule.passed for rule in rules):
        return Decision(REFUSED, rules)
    return Decision(AWAITING if policy.approval == "person" else PASSED, rules)


def _required(rule: Requirement, report: EditReport) -> RuleResult:
    """A bar on a metric, on its share of a sanity row's, or on how far it lies above a sanity row's."""
    found = _metric(report, 0, rule.metric)
    other = _metric(report, rule.row, rule.metric) if rule.row else None
    if rule.if_measured and (found is None or (rule.row and other is None)):
        return RuleResult(rule.text, rule.bounds, "–", True, f"{rule.text}: not measured for these images")
    value = None if found is None else found.value
    if rule.row and value is not None:
        against = None if other is None else other.value
        value = None if against is None else _relative(rule, value, against)
    if found is None or value is None:
        why = (found.note if found else "") or f"this report does not give it{f' for {rule.row}' if rule.row else ''}"
        return RuleResult(rule.text, rule.bounds, "not measured", False, f"{rule.text} was not measured: {why}")
    unit = "ratio" if rule.share_of else found.unit
    interval = "" if rule.row or found.interval is None else _ends(found.interval.low, found.interval.high, unit)
    return _bounded(rule.text, rule, value, unit, interval)


def _relative(rule: Requirement, value: float, against: float) -> float | None:
    if rule.above:
        return value - against
    return value / against if against > 0 else None


def _bounded(name: str, rule: Requirement | SliceRule, value: float, unit: str, beside: str) -> RuleResult:
    """Hold a value against at_least and at_most, both included; NaN never passes."""
    shown = _number(value, unit)
    sentence, passed = f"{name} {shown}", True
    for bound, side, short in ((rule.at_least, "below", 1.0), (rule.at_most, "above", -1.0)):
        lacking = 0.0 if bound is None else short * (bound - value)
        if bound is not None and not lacking <= 0.0:
            passed, sentence = False, f"{sentence}, {_number(lacking, unit)} {side} {_number(bound, unit)}"
    return RuleResult(name, rule.bounds, f"{shown}{beside}", passed, sentence)


def _sliced(rule: SliceRule, report: EditReport) -> Iterator[RuleResult]:
    """One result per dimension: its worst slice; a dimension of which no slice is large enough fails."""
    row, slices = report.rows[0], {name: report.slices[name] for name in rule.dimensions if name in report.slices}
    found = slice_metrics(row, slices, rule.minimum_images, (rule.metric,)) if _has(report, rule.metric) else ()
    for dimension in rule.dimensions:
        name = f"{rule.metric} by {dimension}"
        measured = [one for one in found if one.dimension == dimension and one.metric.value is not None]
        if not measured:
            why = f"no slice of {dimension} has {rule.minimum_images} images for which {rule.metric} is known"
            yield RuleResult(name, rule.bounds, "not measured", False, why)
            continue
        worst = (min if rule.at_least is not None else max)(measured, key=_value_of)
        beside = f" ({worst.label}, {worst.metric.n} images)"
        yield _bounded(f"{name}: {worst.label}", rule, _value_of(worst), worst.metric.unit, beside)


def _value_of(one: SliceMetric) -> float:
    return float("nan") if one.metric.value is None else one.metric.value


def _against(
    rule: NotWorse, candidate: EditReport, champion: EditReport | None, keep: Keep | None = None
) -> RuleResult:
    """The paired interval's worse end within the margin, over all images or those of `keep`."""
    name = f"{rule.metric} not worse than the champion's"
    name += f" on the {int(keep.sum())} images answered differently" if keep is not None else ""
    ours = _measure(candidate, rule.metric)
    theirs = None if champion is None else _measure(champion, rule.metric)
    if ours is None or theirs is None:
        if rule.if_measured and ours is None and theirs is None:
            return RuleResult(name, rule.text, "–", True, f"{name}: not measured for these images")
        return RuleResult(name, rule.text, "not measured", False, f"{rule.metric} is not measured image by image")
    dropped = int(np.count_nonzero((ours.denominators <= 0) & (theirs.denominators > 0)))
    if dropped:
        why = f"{rule.metric} cannot be measured on {dropped} images on which the champion's can"
        return RuleResult(name, rule.text, why, False, why)
    row = candidate.rows[0]
    return _within(name, rule, paired_difference(ours, theirs, row.subjects, row.bootstrap, keep))


def _within(name: str, rule: NotWorse, difference: Difference) -> RuleResult:
    worst, unit, ends = difference.loss_at_worst, difference.unit, difference.interval
    if worst is None or difference.value is None or ends is None:
        why = difference.note or "no interval: the images are of one subject, or the metric has no better end"
        return RuleResult(name, rule.text, why, False, f"{name}: {why}")
    shown = _number(difference.value, unit, signed=True)
    measured = f"{shown}{_ends(ends.low, ends.high, unit, signed=True)}"
    if worst <= rule.margin:
        return RuleResult(name, rule.text, measured, True, f"{name}: {measured}")
    over = _number(worst - rule.margin, unit)
    margin = _number(rule.margin, unit)
    sentence = f"{name}: {measured}, may be worse by {_number(worst, unit)}, {over} more than the margin of {margin}"
    return RuleResult(name, rule.text, measured, False, sentence)


def _differing(policy: ModelPolicy, candidate: EditReport, champion: EditReport) -> Iterator[RuleResult]:
    """The same rules where the two answers differ: a version that repeats the champion's cannot dilute its losses."""
    difference = np.abs(candidate.outputs.astype(np.int16) - champion.outputs)
    changed = (difference > SAME_LEVELS).any(axis=(1, 2, 3))
    if FEWEST_DIFFERING <= int(changed.sum()) < len(changed):
        for rule in policy.not_worse:
            yield _against(rule, candidate, champion, changed)


def _checked(name: str, fact: CheckFact | None) -> RuleResult:
    if fact is None:
        return RuleResult(f"check {name}", "passes", "not made", False, f"check {name}: it was not made")
    said = "passes" if fact.passed else "fails"
    return RuleResult(f"check {name}", "passes", f"{said}: {fact.summary}", fact.passed, f"{name}: {fact.summary}")


def _has(report: EditReport, metric: str) -> bool:
    return any(one.name == metric for one in report.rows[0].measures)


def _measure(report: EditReport, metric: str) -> Measure | None:
    return next((one for one in report.rows[0].measures if one.name == metric), None)


def _metric(report: EditReport, row: int | str, metric: str) -> Metric | None:
    """The metric of a row; None when the report has no such row, or the row no such metric."""
    rows = [report.rows[0]] if row == 0 else [one for one in report.rows if one.key == row]
    return next((one for found in rows for one in found.metrics if one.name == metric), None)


def _number(value: float, unit: str, *, signed: bool = False) -> str:
    """Shares as decimals, as the policy has them; other units as reports write them."""
    text = f"{abs(value):.3f}" if unit == "share" else format_value(abs(value), unit)
    sign = "-" if value < 0 else "+" if signed else ""
    return f"{sign}{text}"


def _ends(low: float, high: float, unit: str, *, signed: bool = False) -> str:
    return f" [{_number(low, unit, signed=signed)}, {_number(high, unit, signed=signed)}]"
