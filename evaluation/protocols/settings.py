"""What the protocols share: how they measure, people's images, and distances between sets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.held_out import Masks
from evaluation.metrics.counterfactual import counterfactual_measures
from evaluation.metrics.locality import locality_measures
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Judge
from evaluation.metrics.seam import seam_measure
from evaluation.pixels import Images
from evaluation.protocols.folder import ImageSize, read_column
from evaluation.protocols.pairs_csv import Columns, read_table

PEOPLE = Columns(images=("image",), texts=("subject",), required=("image", "subject"), slices=False)
"""The columns of gallery.csv and reference.csv."""


@dataclass(frozen=True)
class People:
    """Images of known people, N×S×S×3: a gallery, or real images to compare results with as a set."""

    images: Images
    subjects: tuple[str, ...]


def read_people(file: Path, folder: Path, size: ImageSize) -> People:
    """Return the images that a CSV (image, subject) names; raises UserError that names file and row."""
    table = read_table(file, folder, PEOPLE)
    return People(read_column(table, "image", size), table.cells["subject"])


def outside_measures(before: Images, after: Images, outside: Masks | None, judge: Judge) -> tuple[Measure, ...]:
    """Return what changed where `outside` (N×S×S) says that nothing may; nothing without a mask."""
    if outside is None:
        return ()
    return (*locality_measures(before, after, outside, judge), seam_measure(before, after, ~outside, judge))


def truth_measures(outputs: Images, truths: Images | None, outside: Masks | None) -> tuple[Measure, ...]:
    """Return how far results are from the right answers, everywhere and inside the mask; nothing without answers."""
    if truths is None:
        return ()
    inside = np.ones(outputs.shape[:3], dtype=bool) if outside is None else ~outside
    return counterfactual_measures(outputs, truths, inside, truth_judge(truths))


def mask_judge(outside: Masks | None) -> Judge:
    """Who says where nothing may change: the folder's own masks, by their bytes."""
    return Judge("given_mask", "" if outside is None else _digest(np.packbits(outside)))


def truth_judge(truths: Images | None) -> Judge:
    """Who says what is right: the folder's own answers, by their pixels."""
    return Judge("given_truth", "" if truths is None else _digest(truths))


def _digest(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
