"""How far the metrics are from the libraries that compute the same, and how often intervals cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from evaluation.metrics.frechet import frechet_distance, moments_of
from evaluation.metrics.intervals import Bootstrap, Protocol, ratio_interval
from evaluation.metrics.kid import squared_mmd
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Interval, Judge
from evaluation.metrics.paired import paired_difference
from evaluation.metrics.pose import geodesic_deg
from evaluation.metrics.retrieval import Mode, gallery_of, retrieved_subjects
from orchestration.results import Bar, Figure

Write = Callable[..., None]
SIMULATIONS, SUBJECTS = 2000, 100
NOMINAL = Bar(at_least=0.93, at_most=0.97)


def _features(count: int, width: int, seed: int, shift: float) -> np.ndarray:
    mixing = np.random.default_rng(99).standard_normal((width, width)) / np.sqrt(width)
    return np.random.default_rng(seed).standard_normal((count, width)) @ mixing + shift


@pytest.mark.bench
def test_distances_against_torch_fidelity(evaluation_measured: Write) -> None:
    width, n = 512, 3000
    a, b = _features(n, width, 0, 0.0), _features(n, width, 1, 0.1)
    ours = frechet_distance(moments_of([a], width), moments_of([b], width))
    one, two = torch.from_numpy(a), torch.from_numpy(b)
    statistics = (fid_features_to_statistics(one), fid_features_to_statistics(two))
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    kernel = kid_features_to_metric(one, two, kid_subsets=1, kid_subset_size=n, rng_seed=0, verbose=False)
    kid = kernel["kernel_inception_distance_mean"]
    note, bar = f"{n} × {width} features, both in float64", Bar(at_most=1e-6)
    evaluation_measured(
        Figure(
            "Fréchet distance against torch-fidelity's, relative", abs(ours / theirs - 1), "ratio", bar=bar, note=note
        ),
        Figure("KID against torch-fidelity's, relative", abs(squared_mmd(a, b) / kid - 1), "ratio", bar=bar, note=note),
    )


@pytest.mark.bench
def test_retrieval_and_angles_against_the_libraries(evaluation_measured: Write) -> None:
    rng = np.random.default_rng(0)
    centers, who, shown = rng.standard_normal((200, 64)), rng.integers(0, 200, 5000), np.repeat(np.arange(200), 5)
    results = centers[who] + 1.5 * rng.standard_normal((5000, 64))
    gallery = centers[shown] + rng.standard_normal((1000, 64))
    names = [f"s{i:03}" for i in shown]
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    entries: dict[Mode, tuple[np.ndarray, list[str]]] = {
        "centers": (unit.reshape(200, 5, 64).mean(axis=1), names[::5]), "spread": (gallery, names)
    }  # fmt: skip
    same = []
    for mode, (vectors, labels) in entries.items():
        search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectors)
        found = [labels[i] for i in search.kneighbors(results, return_distance=False)[:, 0]]
        same.append(np.mean(np.array(found) == np.array(retrieved_subjects(results, gallery_of(gallery, names), mode))))
    one, two = rng.uniform(-90, 90, (2, 5000, 3))
    turns = Rotation.from_euler("yxz", two, degrees=True) * Rotation.from_euler("yxz", one, degrees=True).inv()
    apart = float(np.abs(np.rad2deg(turns.magnitude()) - geodesic_deg(one, two)).max())
    evaluation_measured(
        Figure("ID retrieval as scikit-learn's neighbours, both galleries", float(min(same)), "share",
               bar=Bar(at_least=1.0), note="5,000 noisy results, 200 subjects"),
        Figure("geodesic angle against SciPy's rotations, largest difference", apart, "degrees",
               bar=Bar(at_most=1e-6), note="5,000 pairs of poses"),
    )  # fmt: skip


@pytest.mark.bench
def test_coverage_of_intervals(evaluation_measured: Write) -> None:
    ids = np.repeat(np.arange(SUBJECTS), np.random.default_rng(1).integers(1, 9, SUBJECTS))
    names, how = [f"{i:03}" for i in ids], Bootstrap(replicates=1000)

    def mean(rng: np.random.Generator) -> Interval | None:
        return ratio_interval(_simulated(rng, ids), np.ones(len(ids)), names, how)

    def paired(rng: np.random.Generator) -> Interval | None:
        shared, protocol, judge = 3 * _simulated(rng, ids), Protocol("value", "ratio", "a value", True), Judge("j", "")
        one, two = (Measure.of_values(protocol, judge, shared + _simulated(rng, ids)) for _ in range(2))
        return paired_difference(one, two, names, how).interval

    note = f"{SIMULATIONS} simulations of {SUBJECTS} subjects of 1 to 8 images; half of the variance is the subject's"
    evaluation_measured(
        Figure("coverage of 95 % intervals: means", _coverage(mean), "share", bar=NOMINAL, note=note),
        Figure("coverage of 95 % intervals: paired differences", _coverage(paired), "share", bar=NOMINAL, note=note),
    )


def _simulated(rng: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    return rng.standard_normal(SUBJECTS)[ids] + rng.standard_normal(len(ids))


def _coverage(draw: Callable[[np.random.Generator], Interval | None]) -> float:
    """The share of seeded simulations whose interval holds the true value, 0."""
    rng = np.random.default_rng(7)
    found = (draw(rng) for _ in range(SIMULATIONS))
    return sum(one is not None and one.low <= 0.0 <= one.high for one in found) / SIMULATIONS
