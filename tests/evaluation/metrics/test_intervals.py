"""Clustered bootstrap: it covers, it is wider than the naive one, and it is a function of its seed."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.intervals import Bootstrap, ratio_interval


def _clustered(rng: np.random.Generator, clusters: int = 100, each: int = 4) -> tuple[np.ndarray, list[str]]:
    level = rng.standard_normal(clusters).repeat(each)
    return level + 0.3 * rng.standard_normal(clusters * each), [f"s{i // each}" for i in range(clusters * each)]


def test_interval_covers_the_mean_at_its_level() -> None:
    rng, bootstrap, hits, runs = np.random.default_rng(0), Bootstrap(replicates=300), 0, 300
    for _ in range(runs):
        values, subjects = _clustered(rng)
        interval = ratio_interval(values, np.ones_like(values), subjects, bootstrap)
        assert interval is not None
        hits += interval.low <= 0.0 <= interval.high
    # 300 runs at 95 %: standard deviation 1.3 points; 300 replicates cost about one more.
    assert 0.90 <= hits / runs <= 0.985


def test_images_of_one_subject_do_not_count_as_independent() -> None:
    values, subjects = _clustered(np.random.default_rng(1))
    ones, bootstrap = np.ones_like(values), Bootstrap()
    clustered = ratio_interval(values, ones, subjects, bootstrap)
    naive = ratio_interval(values, ones, [str(i) for i in range(len(values))], bootstrap)
    assert clustered is not None and naive is not None
    # Four nearly equal images per subject: the true width is about twice the naive one.
    assert (clustered.high - clustered.low) > 1.5 * (naive.high - naive.low)


def test_same_seed_gives_the_same_interval_and_one_subject_gives_none() -> None:
    values, subjects = _clustered(np.random.default_rng(2), clusters=10)
    ones = np.ones_like(values)
    assert ratio_interval(values, ones, subjects, Bootstrap()) == ratio_interval(values, ones, subjects, Bootstrap())
    assert ratio_interval(values, ones, ["one"] * len(values), Bootstrap()) is None
