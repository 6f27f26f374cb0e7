"""CLIP's direction: with the sentence, against it, across it, or none."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from evaluation.metrics.clip_direction import clip_direction_measure
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Judge

JUDGE = Judge("clip_eval", "00")
FACE, OLD = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def test_direction_of_the_sentence_is_one_and_its_opposite_minus_one() -> None:
    before = np.array([FACE, OLD, FACE]) * 7.0  # lengths do not count
    after = np.array([OLD, FACE, [0.0, 0.0, 1.0]])
    values = clip_direction_measure(before, after, FACE, 3.0 * OLD, JUDGE).values
    assert values[:2] == pytest.approx([1.0, -1.0])
    assert values[2] == pytest.approx(0.5)  # (−1, 0, 1)·(−1, 1, 0) / 2


def test_doing_nothing_is_no_direction_and_is_said() -> None:
    before = np.array([FACE, FACE])
    metric = clip_direction_measure(before, np.array([FACE, OLD]), FACE, OLD, JUDGE).metric(
        ["a", "b"], Bootstrap(replicates=50)
    )
    assert (metric.value, metric.n) == (pytest.approx(0.5), 2)
    assert metric.note == "1 of 2 images: the picture did not move in CLIP, counted as 0"


def test_each_image_has_its_own_sentence() -> None:
    images = np.array([FACE, FACE]), np.array([OLD, OLD])
    texts = np.array([FACE, OLD]), np.array([OLD, FACE])
    assert clip_direction_measure(*images, *texts, JUDGE).values == pytest.approx([1.0, -1.0])


def test_prompt_that_says_nothing_new_and_nan_are_refused() -> None:
    images = np.array([FACE]), np.array([OLD])
    with pytest.raises(UserError, match="same to the judge clip_eval"):
        clip_direction_measure(*images, FACE, FACE, JUDGE)
    with pytest.raises(UserError, match="NaN"):
        clip_direction_measure(np.full((1, 3), np.nan), images[1], FACE, OLD, JUDGE)
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        clip_direction_measure(*images, np.array([FACE, FACE]), np.array([OLD, OLD]), JUDGE)
