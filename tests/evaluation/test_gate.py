"""The gate says which rule failed and by how much, and no planted cheat gets past it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from evaluation.edit_report import EditReport, ReportConfig, ReportRow, Words
from evaluation.gate import CheckFact, decide
from evaluation.gate_policy import ModelPolicy
from evaluation.metrics.intervals import Bootstrap, Protocol
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge

N = 120
JUDGE = Judge("attribute_eval", "a1")
SUBJECTS = tuple(f"s{n // 2}" for n in range(N))
BOOT = Bootstrap(replicates=200, seed=0)
SUCCESS = Protocol("attribute_success", "share", "share of outputs", True)
PSNR = Protocol("psnr_outside", "dB", "PSNR", True)
SEAM = Protocol("seam_ratio", "ratio", "seam", False)
Values = NDArray[np.float64]


def row(key: str, judge: Judge = JUDGE, **values: Values) -> ReportRow:
    known = {one.name: one for one in (SUCCESS, PSNR, SEAM)}
    measures = tuple(Measure.of_values(known[name], judge, value) for name, value in values.items())
    return ReportRow(key, key, measures, (), SUBJECTS, BOOT)


def report(*rows: ReportRow, outputs: NDArray[np.uint8] | None = None, **more: Any) -> EditReport:
    pictures = np.zeros((N, 4, 4, 3), dtype=np.uint8)
    none = np.zeros((4, 4, 3), dtype=np.uint8)
    floats = np.zeros((N, 2))
    return EditReport(
        "attribute", "beard", 4, rows, (JUDGE,), SUBJECTS, tuple(f"{n:04d}" for n in range(N)), pictures,
        pictures if outputs is None else outputs, floats, floats, more.pop("slices", {}), ReportConfig(bootstrap=BOOT),
        none, none, (), none, Words("", "", {}, ()), (), **more,
    )  # fmt: skip


def policy(**rules: Any) -> ModelPolicy:
    asked = {"requires": [{"metric": "attribute_success", "at_least": 0.0}], **rules}
    return ModelPolicy.model_validate({"report": "attribute_report", **asked})


def share(hits: int) -> Values:
    return (np.arange(N) < hits).astype(np.float64)


DRAW = np.random.default_rng(0)
LEVEL = DRAW.normal(35.0, 2.0, N)


def test_missed_bar_is_told_with_what_is_lacking() -> None:
    rules = policy(requires=[{"metric": "attribute_success", "at_least": 0.90}])
    decision = decide(rules, report(row("editor", attribute_success=share(104))), None, {})
    assert decision.outcome == "refused"
    assert decision.summary == "attribute_success 0.867, 0.033 below 0.900"
    assert decide(rules, report(row("editor", attribute_success=share(108))), None, {}).outcome == "passed"  # 0.9


def test_metric_that_is_missing_or_nan_never_passes() -> None:
    nobody = report(row("editor", attribute_success=np.full(N, np.nan)))
    rules = policy(requires=[{"metric": "attribute_success", "at_most": 1.0}])
    assert decide(rules, nobody, None, {}).outcome == "refused"
    absent = policy(requires=[{"metric": "seam_ratio", "at_most": 9.0}])
    assert "was not measured" in decide(absent, nobody, None, {}).summary
    optional = policy(requires=[{"metric": "seam_ratio", "at_most": 9.0, "if_measured": True}])
    assert decide(optional, nobody, None, {}).outcome == "passed"


def test_bars_beside_sanity_rows_are_shares_and_differences() -> None:
    rows = (row("editor", psnr_outside=LEVEL), row("did_nothing", psnr_outside=LEVEL - 1.0))
    above = policy(requires=[{"metric": "psnr_outside", "above": "did_nothing", "at_least": 0.5}])
    assert decide(above, report(*rows), None, {}).outcome == "passed"
    strict = policy(requires=[{"metric": "psnr_outside", "above": "did_nothing", "at_least": 1.5}])
    assert "0.50 dB below 1.50 dB" in decide(strict, report(*rows), None, {}).summary
    ratio = policy(requires=[{"metric": "psnr_outside", "share_of": "did_nothing", "at_least": 1.1}])
    assert decide(ratio, report(*rows), None, {}).outcome == "refused"


NOT_WORSE = policy(not_worse=[{"metric": "psnr_outside", "margin": 1.0}])


def answers(changed: int) -> NDArray[np.uint8]:
    outputs = np.zeros((N, 4, 4, 3), dtype=np.uint8)
    outputs[:changed] = 9
    return outputs


def judged(values: Values, outputs: NDArray[np.uint8] | None = None, judge: Judge = JUDGE) -> EditReport:
    return report(row("editor", judge, attribute_success=share(N), psnr_outside=values), outputs=outputs)


def test_same_version_again_is_not_worse() -> None:
    assert decide(NOT_WORSE, judged(LEVEL), judged(LEVEL), {}).outcome == "passed"


def test_loss_within_the_margin_passes_and_one_beyond_is_told() -> None:
    noise = DRAW.normal(0.0, 0.5, N)
    assert decide(NOT_WORSE, judged(LEVEL - 0.5 + noise, answers(N)), judged(LEVEL), {}).outcome == "passed"
    found = decide(NOT_WORSE, judged(LEVEL - 1.5 + noise, answers(N)), judged(LEVEL), {})
    assert found.outcome == "refused" and "more than the margin of 1.00 dB" in found.summary


def test_champions_answers_on_half_of_the_images_do_not_dilute_the_losses_on_the_others() -> None:
    half = np.where(np.arange(N) < N // 2, LEVEL - 1.4, LEVEL)
    cheat = judged(half, answers(N // 2))
    found = decide(NOT_WORSE, cheat, judged(LEVEL), {})
    over_all, where_they_differ = (one for one in found.rules if "not worse" in one.rule)
    assert over_all.passed and not where_they_differ.passed
    assert found.outcome == "refused" and "60 images answered differently" in found.summary


def test_image_that_only_the_champion_can_be_measured_on_counts_against_the_candidate() -> None:
    hidden = np.where(np.arange(N) < 5, np.nan, LEVEL + 3.0)
    found = decide(NOT_WORSE, judged(hidden), judged(LEVEL), {})
    assert found.outcome == "refused" and "5 images" in found.summary


def test_other_judges_are_never_compared() -> None:
    other = judged(LEVEL, judge=Judge("attribute_eval", "b2"))
    assert "not comparable" in decide(NOT_WORSE, judged(LEVEL), other, {}).summary
    with pytest.raises(ValueError, match="same images"):
        decide(NOT_WORSE, judged(LEVEL), replace(judged(LEVEL), names=("x",) * N), {})


def test_worst_slice_stands_behind_a_good_mean() -> None:
    tones = tuple("dark" if n < 30 else "light" for n in range(N))
    hits = (np.arange(N) >= 12).astype(np.float64)  # 18 of 30, and 90 of 90
    measured = report(row("editor", attribute_success=hits), slices={"skin tone": tones})
    rule = {"dimensions": ["skin tone"], "metric": "attribute_success", "at_least": 0.75, "minimum_images": 20}
    found = decide(policy(slices=[rule]), measured, None, {})
    assert found.summary == "attribute_success by skin tone: dark 0.600, 0.150 below 0.750"
    unseen = decide(policy(slices=[{**rule, "dimensions": ["age"]}]), measured, None, {})
    assert unseen.outcome == "refused" and "no slice of age" in unseen.summary


def test_check_that_nobody_made_fails_and_a_person_is_waited_for() -> None:
    measured = report(row("editor", attribute_success=share(N)))
    asked = policy(checks=["independence"], approval="person")
    assert decide(asked, measured, None, {}).outcome == "refused"
    assert decide(asked, measured, None, {"independence": CheckFact(False, "a judge saw it")}).outcome == "refused"
    assert decide(asked, measured, None, {"independence": CheckFact(True, "")}).outcome == "awaiting_approval"


@pytest.mark.parametrize(
    ("rules", "nearest"),
    [
        ({"requires": [{"metric": "psnr_outsid", "at_least": 1}]}, "psnr_outside"),
        ({"requires": [{"metric": "seam_ratio"}]}, "neither at_least nor at_most"),
        ({"requires": [{"metric": "seam_ratio", "at_most": 1, "above": "did_nothin"}]}, "did_nothing"),
        ({"requires": []}, "at least 1"),
        ({"checks": ["independent"]}, "independence"),
        ({"not_worse": [{"metric": "seam_ratio", "margin": -1}]}, "greater than or equal"),
        ({"not_worse": [{"metric": "seam_ratio", "margin": float("nan")}]}, "finite"),
    ],
)
def test_rule_that_cannot_be_meant_is_refused_when_it_is_read(rules: dict[str, Any], nearest: str) -> None:
    with pytest.raises(ValidationError, match=nearest):
        policy(**rules)
