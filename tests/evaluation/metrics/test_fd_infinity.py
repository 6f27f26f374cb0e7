"""FD∞ takes away the bias that few images give a Fréchet distance, and is a function of its seed."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.fd_infinity import fd_infinity_metric
from evaluation.metrics.frechet import frechet_metric
from evaluation.metrics.metric import Judge

JUDGE = Judge("features", "00")


def _features(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 16))


def test_line_ends_nearer_the_true_distance_than_all_images_do() -> None:
    reference, shifted = _features(20_000, 0), [_features(400, seed) + 0.25 for seed in range(1, 9)]
    true = 16 * 0.25**2
    plain = [frechet_metric(one, reference, JUDGE).value for one in shifted]
    ends = [fd_infinity_metric(one, reference, JUDGE).value for one in shifted]
    assert None not in plain and None not in ends
    bias = abs(np.mean(np.asarray(plain, dtype=float)) - true)
    assert bias > 0.1 and abs(np.mean(np.asarray(ends, dtype=float)) - true) < 0.3 * bias


def test_value_is_a_function_of_the_seed() -> None:
    a, b = _features(300, 1), _features(500, 2)
    assert fd_infinity_metric(a, b, JUDGE, 5) == fd_infinity_metric(a, b, JUDGE, 5)
    assert fd_infinity_metric(a, b, JUDGE, 5).value != fd_infinity_metric(a, b, JUDGE, 50).value


def test_too_few_images_for_a_line_give_no_value() -> None:
    for few, many in ((30, 100), (100, 10)):
        metric = fd_infinity_metric(_features(few, 3), _features(many, 4), JUDGE)
        assert metric.value is None and "images" in metric.note
