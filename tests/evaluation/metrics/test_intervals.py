"""Clustered bootstrap: it covers, it is wider than the naive one, and it is a function of its seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.metrics.intervals import Bootstrap, Protocol, percentile_interval, ratio_interval
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Interval, Judge
from evaluation.metrics.paired import paired_difference

JUDGE = Judge("judge", "00")
PROTOCOL = Protocol("value", "ratio", "a value", True)


def _clustered(rng: np.random.Generator, clusters: int = 100, each: int = 4) -> tuple[np.ndarray, list[str]]:
    level = rng.standard_normal(clusters).repeat(each)
    return level + 0.3 * rng.standard_normal(clusters * each), [f"s{i // each}" for i in range(clusters * each)]


def _simulated(rng: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """Values of mean 0: half of their variance is the subject's own, by a draw per subject."""
    return rng.standard_normal(int(ids.max()) + 1)[ids] + rng.standard_normal(len(ids))


def _coverage(draw: Callable[[np.random.Generator], Interval | None]) -> float:
    """The share of 2,000 fixed-seed simulations whose interval holds 0."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        interval = draw(rng)
        hits += interval is not None and interval.low <= 0.0 <= interval.high
    return hits / 2000


@pytest.mark.parametrize("subjects", [20, 100])
def test_95_per_cent_intervals_of_means_cover_93_to_97(subjects: int) -> None:
    ids = np.repeat(np.arange(subjects), np.random.default_rng(1).integers(1, 9, subjects))
    names, bootstrap = [f"{i:03}" for i in ids], Bootstrap(replicates=1000)

    def interval(rng: np.random.Generator) -> Interval | None:
        return ratio_interval(_simulated(rng, ids), np.ones(len(ids)), names, bootstrap)

    assert 0.93 <= _coverage(interval) <= 0.97  # 2,000 simulations: a standard deviation of 0.5 points


def test_95_per_cent_intervals_of_paired_differences_cover_93_to_97() -> None:
    ids = np.repeat(np.arange(100), np.random.default_rng(1).integers(1, 9, 100))
    names, bootstrap = [f"{i:03}" for i in ids], Bootstrap(replicates=1000)

    def interval(rng: np.random.Generator) -> Interval | None:
        shared = 3 * _simulated(rng, ids)
        one, two = (Measure.of_values(PROTOCOL, JUDGE, shared + _simulated(rng, ids)) for _ in range(2))
        return paired_difference(one, two, names, bootstrap).interval

    assert 0.93 <= _coverage(interval) <= 0.97


def test_few_subjects_widen_the_interval() -> None:
    draws = np.random.default_rng(0).standard_normal(5000)
    plain, few = (percentile_interval(draws, Bootstrap(), "", subjects) for subjects in (None, 5))
    # Student's 2.776·√(5/4) for 4 degrees of freedom instead of the normal's 1.960; 5,000 draws know the tails to 10 %.
    assert (few.high - few.low) / (plain.high - plain.low) == pytest.approx(2.776 * np.sqrt(5 / 4) / 1.960, rel=0.1)


def test_subject_of_whom_nothing_counts_does_not_make_an_interval() -> None:
    values, counted = np.array([1.0, 3.0, 0.0]), np.array([1.0, 1.0, 0.0])
    assert ratio_interval(values, counted, ["a", "a", "b"], Bootstrap(replicates=50)) is None


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
