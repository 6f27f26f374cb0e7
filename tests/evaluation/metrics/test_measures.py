"""The pixel, attribute and counterfactual measures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from evaluation.metrics.attribute import probability_measure, success_measure
from evaluation.metrics.counterfactual import absolute_error, counterfactual_measures
from evaluation.metrics.intervals import Bootstrap, Protocol
from evaluation.metrics.locality import locality_measures, masked_error, psnr
from evaluation.metrics.measure import Measure, Remark
from evaluation.metrics.metric import RENDERER, Judge, Metric

JUDGE = Judge("judge", "00")
BOOT = Bootstrap(replicates=50)
PROTOCOL = Protocol("share", "share", "a share", True)


def _metrics(measures: tuple[Measure, ...], subjects: list[str]) -> dict[str, Metric]:
    return {measure.name: measure.metric(subjects, BOOT) for measure in measures}


def _flat(*levels: int) -> np.ndarray:
    return np.stack([np.full((4, 4, 3), level, dtype=np.uint8) for level in levels])


def test_pooled_psnr_is_of_the_mean_error_not_the_mean_of_psnrs() -> None:
    a, b = _flat(100, 100), _flat(100, 151)  # errors 0 and 0.2 of full range
    outside = np.ones((2, 4, 4), dtype=bool)
    found = _metrics(locality_measures(a, b, outside, RENDERER), ["x", "y"])
    assert found["psnr_outside"].value == pytest.approx(-10 * np.log10(0.2**2 / 2), rel=1e-12)
    # identical images count as 60 dB
    assert found["psnr_outside_mean"].value == pytest.approx((60.0 - 20 * np.log10(0.2)) / 2, rel=1e-12)
    assert found["max_change_outside"].value == pytest.approx(51 / 2)


def test_changes_inside_the_mask_do_not_count_as_changes_outside() -> None:
    a, b = _flat(10), _flat(10)
    b[0, :2] = 255
    outside = np.ones((1, 4, 4), dtype=bool)
    outside[0, :2] = False
    error = masked_error(a, b, outside)
    assert error.squared[0] == 0 and error.largest[0] == 0 and error.count[0] == 2 * 4 * 3


def test_image_without_outside_is_left_out_of_every_mean() -> None:
    a, b = _flat(0, 0), _flat(255, 51)
    outside = np.ones((2, 4, 4), dtype=bool)
    outside[0] = False
    found = _metrics(locality_measures(a, b, outside, RENDERER), ["x", "y"])
    pooled, mean, largest = (found[name] for name in ("psnr_outside", "psnr_outside_mean", "max_change_outside"))
    assert pooled.n == mean.n == largest.n == 1 and largest.value == 51
    assert pooled.value == pytest.approx(float(psnr(0.2**2))) == mean.value


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        masked_error(_flat(0), _flat(0, 0))


def test_counterfactual_error_is_in_levels_and_split_by_region() -> None:
    truth, output = _flat(100), _flat(100)
    output[0, :2] = 120
    inside = np.zeros((1, 4, 4), dtype=bool)
    inside[0, :2] = True
    assert absolute_error(output, truth)[0] == pytest.approx(10.0)
    found = _metrics(counterfactual_measures(output, truth, inside, RENDERER), ["x"])
    assert found["mae_counterfactual"].value == pytest.approx(10.0)
    assert found["mae_counterfactual_inside"].value == pytest.approx(20.0)
    assert found["psnr_counterfactual"].value == pytest.approx(float(psnr((20 / 255) ** 2 / 2)))


def test_success_counts_from_the_threshold_on() -> None:
    metric = success_measure([0.49, 0.5, 0.9, 0.1], JUDGE, 0.5).metric(["a", "b", "c", "d"], BOOT)
    assert (metric.value, metric.n, metric.judge_digest) == (0.5, 4, "00")
    assert metric.interval is not None and metric.interval.low <= 0.5 <= metric.interval.high


def test_part_of_a_combined_attribute_is_named_in_the_metric() -> None:
    measure = success_measure([0.2, 0.8], JUDGE, 0.5, "beard")
    assert measure.name == "attribute_success_beard" and "beard" in measure.protocol.text


def test_nan_probability_is_an_error_that_names_the_image() -> None:
    with pytest.raises(UserError, match="row 1 of 2"):
        probability_measure([0.5, float("nan")], JUDGE)


def test_slice_counts_its_own_images_and_its_own_remarks() -> None:
    remark = Remark(np.array([True, False, False]), "odd")
    measure = Measure.of_values(PROTOCOL, JUDGE, [0.0, 1.0, np.nan], remark)
    everyone = measure.metric(["a", "b", "c"], BOOT)
    part = measure.metric(["a", "b", "c"], BOOT, np.array([False, True, True]))
    assert (everyone.value, everyone.n, everyone.note) == (0.5, 2, "1 of 3 images: odd")
    assert (part.value, part.n, part.note) == (1.0, 1, "")


def test_measure_of_no_image_has_no_value_and_says_why() -> None:
    metric = Measure.of_values(PROTOCOL, JUDGE, []).metric([], BOOT)
    assert metric.value is None and metric.n == 0 and "nothing to measure" in metric.note


def test_numbers_of_images_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[2, 1\]"):
        Measure(PROTOCOL, JUDGE, np.zeros(2), np.ones(1))
