"""m-out-of-n intervals: they cover what they should, by whole subjects, and are none where there is nothing to draw."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.frechet import frechet_distance, moments_of
from evaluation.metrics.subsampling import Subsampling, draws_of, rows_used, subsampled_interval

FEW = Subsampling(draws=100)


def test_subjects_are_drawn_whole_and_half_of_them() -> None:
    subjects = np.array([f"s{i // 3}" for i in range(60)])
    for keep in draws_of(subjects.tolist(), FEW):
        kept = set(subjects[keep])
        assert len(kept) == 10 and keep.sum() == 30 and not kept & set(subjects[~keep])


def test_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    subjects = [f"s{i // 4}" for i in range(400)]
    for _ in range(300):
        values = rng.standard_normal(100).repeat(4) + rng.standard_normal(400)
        found = subsampled_interval(
            float(values.mean()), lambda keep, v=values: float(v[keep].mean()), subjects, 1, FEW
        )
        assert found is not None
        hits += found.low <= 0.0 <= found.high
    # 95 % of 300: standard error 1.3 %, and 100 draws put the tails a little too far in.
    assert 0.91 <= hits / 300 <= 0.98


def test_interval_of_a_frechet_distance_covers_the_mean_distance_at_this_number_of_images() -> None:
    rng, width, n = np.random.default_rng(1), 4, 200
    fixed = moments_of([rng.standard_normal((4000, width)) * 1.5], width)

    def distance(vectors: np.ndarray) -> float:
        return frechet_distance(moments_of([vectors], width), fixed)

    sets = [rng.standard_normal((n, width)) for _ in range(150)]
    expected = np.mean([distance(one) for one in sets])
    subjects, hits = [str(i) for i in range(n)], 0
    for one in sets:
        found = subsampled_interval(distance(one), lambda keep, x=one: distance(x[keep]), subjects, width + 1, FEW)
        assert found is not None
        hits += found.low <= expected <= found.high
    assert hits / 150 >= 0.90  # standard error 1.8 %


def test_few_subjects_or_images_give_no_interval() -> None:
    assert subsampled_interval(0.0, lambda keep: 0.0, ["a", "b", "c"], 1, FEW) is None
    assert subsampled_interval(0.0, lambda keep: 0.0, [str(i) for i in range(20)], 11, FEW) is None
    assert subsampled_interval(0.0, lambda keep: 0.0, [str(i) for i in range(20)], 10, FEW) is not None


def test_rows_of_a_large_set_are_drawn_once_each_and_by_seed() -> None:
    rows = rows_used(9000, 3)
    assert len(rows) == len(set(rows)) == 5000 and np.array_equal(rows, rows_used(9000, 3))
    assert not np.array_equal(rows, rows_used(9000, 4)) and np.array_equal(rows_used(7, 3), np.arange(7))
