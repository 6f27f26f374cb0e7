"""ID retrieval: as scikit-learn finds neighbours; misses, ties and one's own source image."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from data.errors import UserError
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Judge
from evaluation.metrics.retrieval import Mode, gallery_of, retrieval_measure, retrieved_subjects

JUDGE = Judge("identity_eval", "00")
BOOT = Bootstrap(replicates=50)


def _people(seed: int = 0) -> tuple[np.ndarray, list[str], np.ndarray, list[str]]:
    """1,500 results and 200 gallery images of 40 subjects, so noisy that many are confused."""
    rng = np.random.default_rng(seed)
    who, shown = rng.integers(0, 40, 1500), np.repeat(np.arange(40), 5)
    centers = rng.standard_normal((40, 16))
    results = centers[who] + 1.5 * rng.standard_normal((1500, 16))
    gallery = (centers[shown] + 1.0 * rng.standard_normal((200, 16))) * rng.uniform(0.5, 2.0, (200, 1))
    return results, [f"s{i:02}" for i in who], gallery, [f"s{i:02}" for i in shown]


@pytest.mark.parametrize("mode", ["centers", "spread"])
def test_retrieval_agrees_with_scikit_learn(mode: Mode) -> None:
    results, subjects, gallery, names = _people()
    entries, labels = gallery, names
    if mode == "centers":
        unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
        entries, labels = unit.reshape(40, 5, 16).mean(axis=1), names[::5]
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(entries).kneighbors(results, return_distance=False)
    expected = [labels[i] for i in nearest[:, 0]]
    assert retrieved_subjects(results, gallery_of(gallery, names), mode) == expected
    metric = retrieval_measure(results, subjects, gallery, names, mode, JUDGE).metric(subjects, BOOT)
    assert metric.name == f"id_retrieval_{mode}" and metric.value is not None and 0.1 < metric.value < 0.95
    assert metric.value == pytest.approx(np.mean(np.array(expected) == np.array(subjects)), rel=1e-12)


def test_result_without_a_face_is_a_miss_and_is_counted() -> None:
    results, names = np.eye(3), ["a", "b", "c"]
    results[1] = np.nan
    metric = retrieval_measure(results, names, np.eye(3), names, "spread", JUDGE).metric(names, BOOT)
    assert (metric.value, metric.n) == (pytest.approx(2 / 3), 3)
    assert metric.note == "1 of 3 images: no face in the result, counted as a miss"


def test_one_loose_gallery_image_decides_by_spread_but_not_by_centers() -> None:
    gallery = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.9, 0.1, 0.4]])
    result = np.array([[0.95, 0.05, 0.2]])
    found = {
        mode: retrieval_measure(result, ["a"], gallery, ["a", "b", "b"], mode, JUDGE).values[0]
        for mode in ("centers", "spread")
    }
    assert found == {"centers": 1.0, "spread": 1.0}
    result = np.array([[0.9, 0.1, 0.39]])
    assert retrieval_measure(result, ["b"], gallery, ["a", "b", "b"], "spread", JUDGE).values[0] == 1.0
    assert retrieval_measure(result, ["b"], gallery, ["a", "b", "b"], "centers", JUDGE).values[0] == 0.0


@pytest.mark.parametrize("mode", ["centers", "spread"])
def test_excluded_source_image_does_not_retrieve_itself(mode: Mode) -> None:
    gallery = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.8, 0, 0.6]])  # a, a, b
    result, names = np.array([[1.0, 0, 0]]), ["a", "a", "b"]
    with_own, without = (
        retrieval_measure(result, ["a"], gallery, names, mode, JUDGE, exclude).values[0] for exclude in ([-1], [0])
    )
    assert without == 0.0 and (with_own == 1.0 or mode == "centers")
    untouched = retrieval_measure(result, ["a"], gallery, names, mode, JUDGE).values[0]
    assert with_own == untouched  # excluding nothing changes nothing


def test_ties_go_to_the_lower_index() -> None:
    rng = np.random.default_rng(0)
    entry, result = rng.standard_normal((1, 64)), rng.standard_normal((50, 64))
    names = [f"s{i}" for i in range(37)][::-1]
    gallery = np.repeat(entry, 37, axis=0) * rng.uniform(0.1, 9.0, (37, 1))  # one direction: equal up to rounding
    for mode in ("centers", "spread"):
        assert set(retrieved_subjects(result, gallery_of(gallery, names), mode)) == {"s36"}


def test_gallery_that_cannot_answer_is_refused() -> None:
    vectors, names = np.eye(2), ["a", "b"]
    with pytest.raises(UserError, match="no image with a face of the subject 'z'"):
        retrieval_measure(vectors, ["a", "z"], vectors, names, "spread", JUDGE)
    with pytest.raises(UserError, match="no other image with a face of the subject 'a'"):
        retrieval_measure(vectors, names, vectors, names, "centers", JUDGE, exclude=[0, -1])
    with pytest.raises(UserError, match="holds no face"):
        retrieval_measure(vectors, names, np.full((2, 2), np.nan), names, "spread", JUDGE)
    with pytest.raises(UserError, match="NaN or infinity, first in row 1"):
        retrieval_measure(np.array([[1.0, 0], [np.nan, 1]]), names, vectors, names, "spread", JUDGE)
    with pytest.raises(ValueError, match=r"\[2, 1\]"):
        retrieval_measure(vectors, ["a"], vectors, names, "spread", JUDGE)
