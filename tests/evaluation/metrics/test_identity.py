"""Identity cosines: misses count, and the cosines of the same and of other people stand beside them."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from evaluation.metrics.identity import (
    cosine_distributions,
    cosine_metrics,
    cosines,
    identity_measure,
    other_subject_indices,
)
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Judge

JUDGE = Judge("identity_eval", "00")
BOOT = Bootstrap(replicates=400)


def test_cosines_are_paired_by_subject() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    distributions = cosine_distributions(vectors, ["a", "a", "b"])
    assert distributions.same.tolist() == [1.0] and distributions.other.tolist() == [0.0, 0.0]
    assert cosines(vectors[:1], vectors[2:])[0] == 0.0


def test_output_without_a_face_is_a_miss_not_a_gap() -> None:
    before = np.array([[1.0, 0], [1.0, 0], [np.nan, np.nan]])
    after = np.array([[2.0, 0], [np.nan, np.nan], [1.0, 0]])
    metric = identity_measure(before, after, JUDGE).metric(["a", "b", "c"], BOOT)
    assert (metric.value, metric.n) == (0.5, 2)
    assert "1 of 3 images: no face in the output" in metric.note and "no face in the input" in metric.note


def test_nan_inside_a_vector_is_an_error() -> None:
    with pytest.raises(UserError, match="row 1 of 2"):
        identity_measure(np.ones((2, 2)), np.array([[1.0, 0], [1.0, np.nan]]), JUDGE)
    with pytest.raises(ValueError, match=r"\[2, 1\]"):
        identity_measure(np.ones((2, 2)), np.ones((1, 2)), JUDGE)


def _crowd(seed: int) -> tuple[np.ndarray, list[str]]:
    """30 subjects of 1 to 5 images; each has more or less of what all faces share."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    subjects = rng.standard_normal((30, 24)) + rng.uniform(0.0, 2.0, (30, 1))
    vectors = subjects[ids] + 0.5 * rng.standard_normal((len(ids), 24))
    return vectors, [f"s{i:02}" for i in ids]


def test_means_of_pairs_are_those_of_the_distributions() -> None:
    vectors, subjects = _crowd(0)
    vectors = np.vstack([vectors, np.full((1, 24), np.nan)])
    same, other = cosine_metrics(vectors, [*subjects, "nobody"], JUDGE, BOOT)
    pairs = cosine_distributions(vectors[:-1], subjects)
    assert (same.value, same.n) == (pytest.approx(pairs.same.mean()), len(pairs.same))
    assert (other.value, other.n) == (pytest.approx(pairs.other.mean()), len(pairs.other))
    assert f"below {np.quantile(pairs.other, 0.05):.3f}" in other.note and "1 images without a face" in other.note
    assert same.interval is not None and other.interval is not None
    assert same.interval.low < pairs.same.mean() < same.interval.high


def test_interval_of_pairs_is_as_wide_as_crowds_differ() -> None:
    crowds = [cosine_metrics(*_crowd(seed), JUDGE, BOOT) for seed in range(60)]
    for column in (0, 1):
        spread = 3.92 * np.std([crowd[column].value for crowd in crowds])
        intervals = [crowd[column].interval for crowd in crowds]
        width = np.mean([one.high - one.low for one in intervals if one is not None])
        # 60 crowds know their spread to 10 %; the rest is what a bootstrap of pairs is off by.
        assert 0.75 < width / spread < 1.3


def test_one_subject_has_no_pairs_with_others() -> None:
    same, other = cosine_metrics(np.ones((3, 2)), ["a"] * 3, JUDGE, BOOT)
    assert same.value == pytest.approx(1.0) and same.interval is None
    assert other.value is None and other.note == "there is no such pair"


def test_another_subject_is_never_the_subject_itself() -> None:
    subjects = [f"s{i % 5}" for i in range(40)]
    pool = [f"s{i % 5}" for i in range(15)]
    chosen = other_subject_indices(subjects, pool, seed=3)
    assert all(subjects[i] != pool[j] for i, j in enumerate(chosen))
    with pytest.raises(ValueError, match="no image of anyone"):
        other_subject_indices(["s0"], ["s0"], seed=0)
