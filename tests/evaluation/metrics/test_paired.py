"""Paired differences: what is shared cancels, what is real shows, what cannot be compared is not."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.intervals import Bootstrap, Protocol
from evaluation.metrics.locality import psnr
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge
from evaluation.metrics.paired import paired_difference

JUDGE = Judge("judge", "00")
COSINE = Protocol("identity_cosine", "cosine", "a cosine", True)
BOOT = Bootstrap(replicates=500)
SUBJECTS = [f"s{i // 3}" for i in range(180)]


def _values(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(60).repeat(3) + 0.2 * rng.standard_normal(180)


def _measure(values: np.ndarray, judge: Judge = JUDGE, protocol: Protocol = COSINE) -> Measure:
    return Measure.of_values(protocol, judge, values)


def test_same_model_twice_differs_by_nothing() -> None:
    found = paired_difference(_measure(_values()), _measure(_values()), SUBJECTS, BOOT)
    assert found.interval is not None and (found.value, found.interval.low, found.interval.high) == (0.0, 0.0, 0.0)
    assert not found.real and found.better is None and found.loss_at_worst == 0.0


def test_numbers_of_other_weights_are_not_compared() -> None:
    found = paired_difference(_measure(_values()), _measure(_values(), Judge("judge", "ff")), SUBJECTS, BOOT)
    assert found.value is None and found.interval is None and found.better is None
    assert found.note == "not comparable: judged by judge 00 and by judge ff"


def test_small_planted_loss_is_found_where_images_vary_a_lot() -> None:
    values, noise = _values(), 0.05 * np.random.default_rng(1).standard_normal(180)
    found = paired_difference(_measure(values - 0.03 + noise), _measure(values), SUBJECTS, BOOT)
    # The noise of 180 images leaves a standard deviation of 0.004; unpaired, the subjects' would be 0.13.
    assert found.value == pytest.approx(-0.03, abs=0.015) and found.real and found.better is False
    assert found.loss_at_worst is not None and found.loss_at_worst > 0.03 - 0.015


def test_lower_is_better_turns_the_verdict_round() -> None:
    degrees = Protocol("pose_change", "degrees", "degrees", False)
    one, two = (_measure(values, protocol=degrees) for values in (_values() - 0.5, _values()))
    found = paired_difference(one, two, SUBJECTS, BOOT)
    assert found.better is True and found.loss_at_worst == pytest.approx(-0.5)


def test_loss_within_a_slice_is_seen_there_alone() -> None:
    values, old = _values(), np.arange(180) % 9 < 3
    version = _measure(np.where(old, values - 1.0, values))
    inside, beside = (paired_difference(version, _measure(values), SUBJECTS, BOOT, keep) for keep in (old, ~old))
    assert (inside.n, inside.value, inside.better) == (60, pytest.approx(-1.0), False)
    assert (beside.n, beside.value, beside.real) == (120, 0.0, False)


def test_image_that_one_version_leaves_out_counts_for_neither() -> None:
    values, holes = _values(), _values()
    holes[:30] = np.nan
    found = paired_difference(_measure(holes), _measure(values), SUBJECTS, BOOT)
    assert (found.n, found.value) == (150, pytest.approx(0.0, abs=1e-12))


def test_difference_of_a_pooled_measure_is_of_the_pooled_values() -> None:
    decibels, ones = Protocol("psnr_outside", "dB", "dB", True), np.ones(180)
    one, two = (Measure(decibels, JUDGE, ones * error, ones, psnr) for error in (1e-3, 1e-2))
    assert paired_difference(one, two, SUBJECTS, BOOT).value == pytest.approx(10.0)


def test_different_measures_and_numbers_of_images_are_refused() -> None:
    other = Protocol("pose_change", "degrees", "degrees", False)
    for baseline in (_measure(_values(), protocol=other), _measure(_values()[:90])):
        with pytest.raises(ValueError, match="not one measure"):
            paired_difference(_measure(_values()), baseline, SUBJECTS, BOOT)


def test_nothing_in_common_gives_no_difference() -> None:
    found = paired_difference(_measure(_values()), _measure(_values()), SUBJECTS, BOOT, np.zeros(180, dtype=bool))
    assert found.value is None and "nothing to measure" in found.note
