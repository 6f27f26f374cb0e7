"""The Fréchet distance against SciPy's matrix root, streaming, and on features nobody should measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from data.errors import UserError
from evaluation.metrics.frechet import (
    INCEPTION,
    TooFewVectorsError,
    frechet_difference,
    frechet_distance,
    frechet_metric,
    moments_of,
    moments_of_file,
)
from evaluation.metrics.metric import Judge
from evaluation.metrics.subsampling import Subsampling

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


def test_distance_is_torch_fidelitys_on_the_same_features(tmp_path: Path) -> None:
    sets = [_features(3000, 128, seed).astype(np.float32) for seed in (7, 8)]
    statistics = [fid_features_to_statistics(torch.from_numpy(one)) for one in sets]
    expected = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    for name, one in zip("ab", sets, strict=True):
        np.save(tmp_path / name, one)
    found = frechet_distance(moments_of_file(tmp_path / "a.npy", 700), moments_of_file(tmp_path / "b.npy"))
    assert found == pytest.approx(expected, rel=1e-6)  # theirs takes means in float32, good to about 1e-7


def test_features_that_never_vary_do_not_stop_the_distance() -> None:
    a, b = _features(200, 6, 9), _features(200, 6, 10)
    a[:, 2], b[:, 2] = 1.0, 3.0
    b[:, 4] = b[:, 5]  # no Cholesky factor in either set
    kept = [0, 1, 3, 4, 5]
    expected = frechet_distance(moments_of([b[:, kept]], 5), moments_of([a[:, kept]], 5)) + 4.0
    assert frechet_distance(moments_of([a], 6), moments_of([b], 6)) == pytest.approx(expected, rel=1e-6)


def test_file_of_another_kind_shape_or_cut_off_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npy"
    np.save(whole, _features(50, 4, 11))
    (tmp_path / "cut.npy").write_bytes(whole.read_bytes()[:-8])
    np.save(tmp_path / "flat.npy", np.zeros(50))
    np.save(tmp_path / "columns.npy", np.asfortranarray(_features(50, 4, 11)))
    (tmp_path / "words.npy").write_text("features")
    said = {"cut": "ends before row", "flat": "shape", "columns": "by columns", "words": "no .npy", "none": "cannot be"}
    for name, words in said.items():
        with pytest.raises(UserError, match=words):
            moments_of_file(tmp_path / f"{name}.npy")


def test_only_inception_features_make_an_fid() -> None:
    a, b = _features(60, 3, 12), _features(60, 3, 13)
    assert frechet_metric(a, b, Judge(INCEPTION, "00")).name == "fid"
    assert frechet_metric(a, b, Judge("dinov2_vits14", "00")).name == "frechet_distance"


def test_interval_needs_half_the_subjects_to_fill_the_covariance() -> None:
    a, b = _features(24, 16, 14), _features(100, 16, 15)
    found = frechet_metric(a, b, JUDGE, [str(i) for i in range(24)])
    assert found.value is not None and found.interval is None and "no interval" in found.note


def test_difference_of_a_version_to_itself_is_nothing_and_its_loss_is_seen() -> None:
    reference, same = _features(400, 8, 16), _features(400, 8, 16)[::-1]
    worse = same + 0.2 * _features(400, 8, 17)
    subjects = [str(i // 2) for i in range(400)]
    none = frechet_difference(same, same.copy(), reference, subjects, JUDGE)
    assert none.interval is not None and (none.value, none.interval.low, none.interval.high) == (0.0, 0.0, 0.0)
    found = frechet_difference(worse, same, reference, subjects, JUDGE)
    assert found.better is False
    other = frechet_difference(worse, same, reference, subjects, JUDGE, Subsampling(seed=1))
    assert found == frechet_difference(worse, same, reference, subjects, JUDGE) != other


def test_paired_interval_is_narrower_than_the_versions_own() -> None:
    reference, version = _features(500, 8, 18), 1.3 * _features(500, 8, 18)[::-1]
    like_it = version + 0.02 * _features(500, 8, 19)
    subjects = [str(i) for i in range(500)]
    alone = frechet_metric(like_it, reference, JUDGE, subjects).interval
    paired = frechet_difference(like_it, version, reference, subjects, JUDGE).interval
    assert alone is not None and paired is not None
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
