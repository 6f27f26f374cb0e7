"""Distances between sets: against torch-fidelity on the same features, and their intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from data.errors import UserError
from evaluation.metrics.fd_infinity import extrapolated, fd_infinity_metric
from evaluation.metrics.frechet import (
    INCEPTION,
    frechet_difference,
    frechet_distance,
    frechet_metric,
    moments_of,
    moments_of_file,
)
from evaluation.metrics.kid import kid_metric, squared_mmd
from evaluation.metrics.metric import Judge
from evaluation.metrics.precision_recall import precision_recall, precision_recall_metrics
from evaluation.metrics.subsampling import Subsampling, draws_of

JUDGE = Judge("features", "00")
QUICK = Subsampling(draws=100)


def _features(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((dimensions, dimensions)) / np.sqrt(dimensions)
    return rng.standard_normal((count, dimensions)) @ mixing + shift


def _subjects(count: int, each: int = 2) -> list[str]:
    return [f"s{i // each}" for i in range(count)]


@pytest.mark.parametrize("dimensions", [4, 64, 256])
def test_distance_equals_torch_fidelitys(dimensions: int) -> None:
    a, b = _features(700, dimensions, 0), _features(600, dimensions, 1, 0.2)
    ours = frechet_distance(moments_of([a], dimensions), moments_of([b], dimensions))
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(torch.from_numpy(a)), fid_features_to_statistics(torch.from_numpy(b)), False
    )["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=1e-6)  # both in float64


def test_kernel_distance_equals_torch_fidelitys() -> None:
    a, b = _features(300, 32, 2), _features(300, 32, 3, 0.1)
    # One subset that is the whole set: then nothing is drawn, and both compute one number.
    theirs = kid_features_to_metric(
        torch.from_numpy(a), torch.from_numpy(b), kid_subsets=1, kid_subset_size=300, rng_seed=0, verbose=False
    )["kernel_inception_distance_mean"]
    assert squared_mmd(a, b) == pytest.approx(theirs, rel=1e-9)


def test_precision_and_recall_equal_torch_fidelitys() -> None:
    generated, real = _features(400, 8, 4, 0.3), 0.7 * _features(350, 8, 5)
    theirs = prc_features_to_metric(
        torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=3, prc_batch_size=100, verbose=False
    )
    # Shares of 400 and of 350 vectors: a vector on a ball's very edge may fall to either side.
    assert precision_recall(generated, real) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1.5 / 350)


def test_precision_falls_for_outputs_off_the_real_set_and_recall_for_too_few_kinds() -> None:
    real = _features(300, 6, 6)
    off, narrow = _features(300, 6, 7, 8.0), real[:1] + 1e-3 * _features(300, 6, 8)
    assert precision_recall(off, real)[0] == 0.0
    precision, recall = precision_recall(narrow, real)
    assert precision > 0.9 and recall < 0.1


def test_interval_of_a_distance_covers_that_of_other_images() -> None:
    reference = _features(2000, 8, 10)
    truth = np.mean([frechet_metric(_features(400, 8, 100 + i, 0.15), reference, JUDGE).value for i in range(60)])
    hits = 0
    for i in range(60):
        metric = frechet_metric(_features(400, 8, 500 + i, 0.15), reference, JUDGE, _subjects(400, 1), QUICK)
        assert metric.interval is not None and metric.value is not None
        hits += metric.interval.low <= truth <= metric.interval.high
    assert hits >= 50  # 95 % nominal; of 60 trials fewer than 51 are expected once in 300


def test_paired_difference_is_sharper_than_two_intervals() -> None:
    reference, images = _features(1000, 8, 11), _features(400, 8, 12, 0.2)
    worse = images + 0.05
    alone = frechet_metric(images, reference, JUDGE, _subjects(400), QUICK)
    paired = frechet_difference(worse, images, reference, _subjects(400), JUDGE, QUICK)
    assert alone.interval is not None and paired.interval is not None
    assert paired.better is False
    assert paired.interval.high - paired.interval.low < 0.5 * (alone.interval.high - alone.interval.low)


def test_same_images_do_not_differ() -> None:
    images = _features(400, 8, 13)
    same = frechet_difference(images, images, _features(300, 8, 14), _subjects(400), JUDGE, QUICK)
    assert same.value == 0.0 and not same.real


def test_draws_take_whole_subjects_and_the_same_ones_each_time() -> None:
    subjects = _subjects(40, 4)
    first, again = (np.array(list(draws_of(subjects, QUICK))) for _ in range(2))
    assert np.array_equal(first, again)
    for mask in first:
        kept = {s for s, keep in zip(subjects, mask, strict=True) if keep}
        assert len(kept) == 5 and all(s not in kept for s, keep in zip(subjects, mask, strict=True) if not keep)


def test_distance_is_called_fid_for_inception_alone() -> None:
    a, b = _features(50, 4, 15), _features(50, 4, 16)
    assert frechet_metric(a, b, JUDGE).name == "frechet_distance"
    assert frechet_metric(a, b, Judge(INCEPTION, "00")).name == "fid"
    assert kid_metric(a, b, JUDGE).name == "kernel_distance"
    assert kid_metric(a, b, Judge(INCEPTION, "00")).name == "kid"
    assert fd_infinity_metric(a, b, JUDGE).name == "frechet_distance_infinity"


def test_extrapolation_takes_the_bias_of_few_images_away() -> None:
    reference, few = _features(20_000, 16, 17), _features(600, 16, 18)
    biased = frechet_metric(few, reference, JUDGE)
    free = fd_infinity_metric(few, reference, JUDGE, seed=3)
    assert biased.value is not None and free.value is not None
    assert abs(free.value) < 0.5 * biased.value  # the true distance is zero
    assert extrapolated(few, reference, 3) == extrapolated(few, reference, 3)


@pytest.mark.parametrize("metric", [kid_metric, lambda *a: precision_recall_metrics(*a)[0]])
def test_nan_in_features_names_the_row(metric) -> None:  # type: ignore[no-untyped-def]
    broken = _features(20, 4, 19)
    broken[7, 2] = np.nan
    with pytest.raises(UserError, match="row 7"):
        metric(broken, _features(20, 4, 20), JUDGE)


def test_too_few_images_give_no_value_and_say_why() -> None:
    few, many = _features(3, 8, 21), _features(50, 8, 22)
    for metric in (
        frechet_metric(few, many, JUDGE),
        kid_metric(few[:1], many, JUDGE),
        fd_infinity_metric(few, many, JUDGE),
        *precision_recall_metrics(few, many, JUDGE),
    ):
        assert metric.value is None and metric.note


def test_features_in_a_file_give_the_moments_of_the_array(tmp_path: Path) -> None:
    features = _features(500, 16, 23).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    stored, whole = moments_of_file(tmp_path / "features.npy", block_rows=77), moments_of([features], 16)
    assert np.allclose(stored.covariance, whole.covariance, rtol=1e-12)
    (tmp_path / "broken.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"broken\.npy"):
        moments_of_file(tmp_path / "broken.npy")
