"""How good a judge is on held-out pictures of subjects that no judge was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.captions import prompts
from data.categories import FACE, Category
from training.judges.interface import (
    AttributeJudge,
    ClipJudge,
    FeaturesJudge,
    IdentityJudge,
    Judge,
    ParserJudge,
    PoseJudge,
)
from training.judges.jitter import to_float
from training.judges.pools import Pool

HISTOGRAM_BINS = 8  # per channel
DIGITS = 5  # scores are rounded to this, so that the last bits of a sum do not change a payload


def scores_of(judge: Judge, pool: Pool, kind: Category[Any, Any] = FACE) -> dict[str, float]:
    """The held-out scores of a judge, by name."""
    with torch.no_grad():
        scores = _scores(judge, pool, kind)
    return {name: round(value, DIGITS) for name, value in scores.items()}


def rank1(vectors: NDArray[np.float32], subjects: NDArray[np.int64]) -> float:
    """Share of probes whose nearest gallery vector (largest dot product) is of their subject.

    The first image of each subject is the gallery, the others are probes. N×D vectors, N subject numbers.
    """
    _, gallery = np.unique(subjects, return_index=True)
    probes = np.setdiff1d(np.arange(len(subjects)), gallery)
    nearest = gallery[np.argmax(vectors[probes] @ vectors[gallery].T, axis=1)]
    return float(np.mean(subjects[nearest] == subjects[probes]))


def colour_histogram_rank1(images: NDArray[np.uint8], subjects: NDArray[np.int64]) -> float:
    """`rank1` by histogram intersection of 8×8×8 RGB histograms: what colours alone give away of the identity."""
    histograms = np.stack([_histogram(image) for image in images])
    _, gallery = np.unique(subjects, return_index=True)
    probes = np.setdiff1d(np.arange(len(subjects)), gallery)
    hits = 0
    for probe in probes:
        overlap = np.minimum(histograms[gallery], histograms[probe]).sum(axis=1)
        hits += int(subjects[gallery[int(np.argmax(overlap))]] == subjects[probe])
    return round(hits / max(len(probes), 1), DIGITS)


def _histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    levels = (image.reshape(-1, 3) // (256 // HISTOGRAM_BINS)).astype(np.int64)
    codes = (levels[:, 0] * HISTOGRAM_BINS + levels[:, 1]) * HISTOGRAM_BINS + levels[:, 2]
    counts = np.bincount(codes, minlength=HISTOGRAM_BINS**3)
    return (counts / len(codes)).astype(np.float32)


def _scores(judge: Judge, pool: Pool, kind: Category[Any, Any]) -> dict[str, float]:
    if isinstance(judge, ClipJudge):
        return zero_shot_scores(judge, pool, kind)
    if isinstance(judge, ParserJudge):
        return parser_scores(judge, pool)
    if isinstance(judge, AttributeJudge):
        return attribute_scores(_in_batches(judge.probabilities, pool) > 0.5, pool.attributes, judge.attributes)
    if isinstance(judge, PoseJudge):
        return pose_scores(_in_batches(judge.angles_deg, pool), pool.pose_deg)
    if isinstance(judge, IdentityJudge):
        return identity_scores(_in_batches(judge.vectors, pool), pool.subjects)
    if isinstance(judge, FeaturesJudge):
        vectors = _in_batches(judge.features, pool)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        out = _in_batches(judge.net.forward, pool)
        right = ((out[:, :-3] > 0) == pool.attributes).mean(axis=0)
        return {"rank1": rank1(unit, pool.subjects), "accuracy_mean": float(right.mean())}
    raise TypeError(f"no scores for {type(judge).__name__}")


def parser_scores(judge: ParserJudge, pool: Pool) -> dict[str, float]:
    """Intersection over union of each region over the whole set, their mean, and the share of correct pixels."""
    labels = _in_batches(judge.labels, pool).astype(np.int64)
    k = len(judge.regions)
    confusion = np.bincount((pool.regions.astype(np.int64) * k + labels).ravel(), minlength=k * k).reshape(k, k)
    both = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    iou = {f"iou_{region}": float(both[i] / union[i]) for i, region in enumerate(judge.regions) if union[i]}
    return {
        "iou_mean": float(np.mean(list(iou.values()))),
        "pixel_accuracy": float(both.sum() / confusion.sum()),
        **iou,
    }


def attribute_scores(found: NDArray[np.bool_], truth: NDArray[np.bool_], names: Sequence[str]) -> dict[str, float]:
    """Accuracy of each of A names, their mean and the smallest, and the smallest balanced accuracy. Both N×A."""
    right = (found == truth).mean(axis=0)
    accuracy = {f"accuracy_{name}": float(right[i]) for i, name in enumerate(names)}
    balanced = [_balanced(found[:, i], truth[:, i]) for i in range(len(names))]
    return {
        "accuracy_mean": float(right.mean()),
        "accuracy_min": float(right.min()),
        "balanced_accuracy_min": min(balanced),
        **accuracy,
    }


def zero_shot_scores(judge: ClipJudge, pool: Pool, kind: Category[Any, Any]) -> dict[str, float]:
    """Accuracy of telling each attribute by which of its two prompts is nearer: mean, smallest, balanced, each."""
    vectors = _in_batches(judge.image_vectors, pool)
    pairs = [judge.text_vectors(prompts(kind.name, name)).numpy() for name in kind.attributes]
    found = np.stack([vectors @ there > vectors @ without for without, there in pairs], axis=1)
    scores = attribute_scores(found, pool.attributes, kind.attributes)
    balanced = [_balanced(found[:, i], pool.attributes[:, i]) for i in range(len(kind.attributes))]
    return {f"zero_shot_{name}": value for name, value in scores.items()} | {
        "zero_shot_balanced_accuracy_mean": float(np.mean(balanced))
    }


def pose_scores(found: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """Mean L2 error of (yaw, pitch, roll) and mean absolute error per angle, degrees. Both N×3."""
    error = found - truth
    each = np.abs(error).mean(axis=0)
    names = ("yaw_error_deg", "pitch_error_deg", "roll_error_deg")
    return {"error_deg": float(np.linalg.norm(error, axis=1).mean()), **dict(zip(names, map(float, each), strict=True))}


def identity_scores(vectors: NDArray[np.float32], subjects: NDArray[np.int64]) -> dict[str, float]:
    """Rank-1 identification, and the mean cosine of images of the same and of different subjects."""
    cosines = vectors @ vectors.T
    same = subjects[:, None] == subjects[None]
    others = ~np.eye(len(subjects), dtype=bool)
    return {
        "rank1": rank1(vectors, subjects),
        "cosine_same": float(cosines[same & others].mean()),
        "cosine_other": float(cosines[~same].mean()),
    }


def _balanced(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """The mean of the accuracies of those that have the attribute and of those that lack it."""
    shares = [float((found[truth == value] == value).mean()) for value in (True, False) if (truth == value).any()]
    return float(np.mean(shares))


def _in_batches(function: Callable[[Tensor], Tensor], pool: Pool, size: int = 128) -> NDArray[np.float32]:
    """`function` of all the pool's images as one array."""
    starts = range(0, len(pool), size)
    parts = [function(to_float(torch.from_numpy(np.array(pool.images[i : i + size])))).numpy() for i in starts]
    return np.concatenate(parts)
