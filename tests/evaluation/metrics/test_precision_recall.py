"""Precision and recall: torch-fidelity's on the same features, and each sees what the other cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from data.errors import UserError
from evaluation.metrics.metric import Judge
from evaluation.metrics.precision_recall import precision_recall, precision_recall_metrics

JUDGE = Judge("features", "00")


def _features(count: int, seed: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((count, 8))


def test_shares_are_torch_fidelitys_on_the_same_features() -> None:
    generated, real = _features(150, 0, 0.8), _features(220, 1)
    theirs = prc_features_to_metric(
        torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=3, prc_batch_size=64, verbose=False
    )
    found = precision_recall(generated, real)
    # Shares of 150 and 220 in float32 there: equal but for the last digit, as no distance here is a tie.
    assert found == pytest.approx((theirs[KEY_METRIC_PRECISION], theirs[KEY_METRIC_RECALL]), abs=1e-6)


def test_lost_variety_costs_recall_and_nonsense_costs_precision() -> None:
    real = _features(300, 2)
    narrow, wide = precision_recall(_features(300, 3, 0.2), real), precision_recall(_features(300, 4, 4.0), real)
    assert narrow[0] > 0.95 and narrow[1] < 0.3
    assert wide[0] < 0.3 and wide[1] > 0.95


def test_intervals_hold_the_values_and_stay_shares() -> None:
    subjects = [str(i // 2) for i in range(200)]
    for metric in precision_recall_metrics(_features(200, 5), _features(250, 6), JUDGE, subjects):
        assert metric.interval is not None and metric.value is not None
        assert 0.0 <= metric.interval.low <= metric.value <= metric.interval.high <= 1.0


def test_few_images_are_not_measured_and_nan_is_refused() -> None:
    for metric in precision_recall_metrics(_features(3, 7), _features(50, 8), JUDGE):
        assert metric.value is None and "more than 3 images" in metric.note
    broken = _features(50, 9)
    broken[5] = np.inf
    with pytest.raises(UserError, match="first in row 5"):
        precision_recall_metrics(broken, _features(50, 8), JUDGE)
