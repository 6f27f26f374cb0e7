"""The pixel, identity, pose and attribute measures against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.attribute import success_metric
from evaluation.metrics.counterfactual import absolute_error, counterfactual_metrics
from evaluation.metrics.identity import cosine_distributions, cosines, other_subject_indices
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.locality import locality_metrics, masked_error, psnr
from evaluation.metrics.metric import RENDERER, Judge
from evaluation.metrics.pose import pose_difference_deg, pose_error_deg

JUDGE = Judge("judge", "00")
BOOT = Bootstrap(replicates=50)


def _flat(*levels: int) -> np.ndarray:
    return np.stack([np.full((4, 4, 3), level, dtype=np.uint8) for level in levels])


def test_pooled_psnr_is_of_the_mean_error_not_the_mean_of_psnrs() -> None:
    a, b = _flat(100, 100), _flat(100, 151)  # errors 0 and 0.2 of full range
    outside = np.ones((2, 4, 4), dtype=bool)
    pooled, mean, largest = locality_metrics(masked_error(a, b, outside), ["x", "y"], RENDERER, BOOT)
    assert pooled.value == pytest.approx(-10 * np.log10(0.2**2 / 2), rel=1e-12)
    assert mean.value == pytest.approx((60.0 - 20 * np.log10(0.2)) / 2, rel=1e-12)  # identical images count as 60 dB
    assert largest.value == pytest.approx(51 / 2)


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
    pooled, mean, _ = locality_metrics(masked_error(a, b, outside), ["x", "y"], RENDERER, BOOT)
    assert pooled.n == mean.n == 1
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
    _, everywhere, local = counterfactual_metrics(output, truth, inside, ["x"], RENDERER, BOOT)
    assert (everywhere.value, local.value) == (pytest.approx(10.0), pytest.approx(20.0))


def test_pose_difference_goes_the_short_way_round() -> None:
    assert np.allclose(pose_difference_deg([[179.0, 0, 0]], [[-179.0, 0, 0]]), [[2.0, 0, 0]])
    assert pose_error_deg([[0.0, 0, 0]], [[3.0, 4.0, 0]])[0] == pytest.approx(5.0)


def test_cosines_are_paired_by_subject() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    distributions = cosine_distributions(vectors, ["a", "a", "b"])
    assert distributions.same.tolist() == [1.0] and distributions.other.tolist() == [0.0, 0.0]
    assert cosines(vectors[:1], vectors[2:])[0] == 0.0


def test_another_subject_is_never_the_subject_itself() -> None:
    subjects = [f"s{i % 5}" for i in range(40)]
    pool = [f"s{i % 5}" for i in range(15)]
    chosen = other_subject_indices(subjects, pool, seed=3)
    assert all(subjects[i] != pool[j] for i, j in enumerate(chosen))
    with pytest.raises(ValueError, match="no image of anyone"):
        other_subject_indices(["s0"], ["s0"], seed=0)


def test_success_counts_from_the_threshold_on() -> None:
    metric = success_metric([0.49, 0.5, 0.9, 0.1], ["a", "b", "c", "d"], JUDGE, BOOT)
    assert (metric.value, metric.n, metric.judge_digest) == (0.5, 4, "00")
    assert metric.interval is not None and metric.interval.low <= 0.5 <= metric.interval.high
