"""The kernel distance: torch-fidelity's on the same features, unbiased, and only with InceptionV3 called KID."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from data.errors import UserError
from evaluation.metrics.frechet import INCEPTION
from evaluation.metrics.kid import kid_metric, squared_mmd
from evaluation.metrics.metric import Judge

JUDGE = Judge("features", "00")


def _features(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 32)) + shift


def test_distance_is_torch_fidelitys_on_the_same_features() -> None:
    a, b = _features(300, 0, 0.3), _features(300, 1)
    # One subset that holds everything: its order is drawn, and the kernel's sums do not know it.
    theirs = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=300, verbose=False
    )
    assert squared_mmd(a, b) == pytest.approx(theirs[KEY_METRIC_KID_MEAN], rel=1e-9)  # both in float64
    assert kid_metric(a, b, JUDGE).value == pytest.approx(squared_mmd(a, b), rel=1e-12)


def test_sets_of_one_distribution_are_zero_apart_on_average() -> None:
    distances = [squared_mmd(_features(40, 2 * seed), _features(60, 2 * seed + 1)) for seed in range(200)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(200)
    assert min(distances) < 0  # an unbiased estimate must be able to


def test_interval_holds_the_value_and_leaves_out_zero_for_other_sets() -> None:
    found = kid_metric(_features(200, 3, 0.5), _features(300, 4), JUDGE, [str(i // 2) for i in range(200)])
    assert found.interval is not None and found.value is not None
    assert 0 < found.interval.low < found.value < found.interval.high


def test_only_inception_features_make_a_kid() -> None:
    a, b = _features(10, 5), _features(10, 6)
    assert (kid_metric(a, b, Judge(INCEPTION, "00")).name, kid_metric(a, b, JUDGE).name) == ("kid", "kernel_distance")


def test_features_of_two_judges_or_with_nan_are_refused_and_one_image_is_not_measured() -> None:
    a, b = _features(10, 7), _features(10, 8)
    with pytest.raises(UserError, match="32 per image, those of the reference 31"):
        kid_metric(a, b[:, 1:], JUDGE)
    b[3, 0] = np.nan
    with pytest.raises(UserError, match="reference features hold NaN or infinity, first in row 3"):
        kid_metric(a, b, JUDGE)
    assert kid_metric(a[:1], a, JUDGE).value is None
