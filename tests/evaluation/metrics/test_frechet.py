"""The Fréchet distance against SciPy's matrix root, streaming, and on features nobody should measure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from data.errors import UserError
from evaluation.metrics.frechet import TooFewVectorsError, frechet_distance, frechet_metric, moments_of
from evaluation.metrics.metric import Judge

JUDGE = Judge("features", "00")


def _features(count: int, dimensions: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dimensions, dimensions))
    return rng.standard_normal((count, dimensions)) @ mixing + rng.standard_normal(dimensions)


def test_distance_equals_that_of_the_general_matrix_root() -> None:
    a, b = _features(400, 24, 0), _features(300, 24, 1)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    measured = frechet_distance(moments_of([a], 24), moments_of([b], 24))
    assert measured == pytest.approx(expected, rel=1e-6)  # both in float64; sqrtm itself is good to about 1e-8


def test_streamed_moments_are_those_of_the_whole_far_from_zero() -> None:
    features = _features(500, 8, 2) + 1e4  # a sum of squares would lose eight digits here
    moments = moments_of(np.array_split(features, [1, 7, 300]), 8)
    assert np.allclose(moments.mean, features.mean(0), rtol=1e-12)
    assert np.allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-9)


def test_set_against_itself_is_zero_and_a_shift_is_its_square() -> None:
    features = _features(200, 6, 3)
    same, moved = moments_of([features], 6), moments_of([features + 2.0], 6)
    assert frechet_distance(same, same) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(same, moved) == pytest.approx(6 * 2.0**2, rel=1e-9)


def test_nan_in_features_is_refused_with_its_row() -> None:
    features = _features(50, 4, 4)
    features[7, 2] = np.nan
    with pytest.raises(UserError, match="row 7"):
        moments_of([features], 4)


def test_fewer_vectors_than_dimensions_is_refused_and_reported_without_a_value() -> None:
    few, many = _features(10, 16, 5), _features(100, 16, 6)
    with pytest.raises(TooFewVectorsError, match="more than 16 images, but there are 10"):
        moments_of([few], 16)
    metric = frechet_metric(few, many, JUDGE)
    assert metric.value is None and "16" in metric.note
