"""ID retrieval: is the gallery's nearest face the subject's (METHODS B, measures)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import UserError
from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure, Remark
from evaluation.metrics.metric import Judge
from evaluation.metrics.vectors import checked_vectors, require_same_length, unit_rows

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Mode = Literal["centers", "spread"]
KINDS = {
    "centers": "each subject's mean unit vector, renormalised",
    "spread": "every gallery image an entry of its own",
}
BLOCK = 1024
DECIMALS = 12
"""Similarities are rounded to it: equal entries stay equal whatever the order of summing, and ties go by index."""


@dataclass(frozen=True)
class Gallery:
    """Unit vectors M×D of known subjects (M names); `rows` are their indices among the images that were given."""

    vectors: Floats
    subjects: tuple[str, ...]
    rows: Indices


def gallery_of(vectors: ArrayLike, subjects: Sequence[str]) -> Gallery:
    """Return the gallery's images with a face; shapes M×D, M. Raises UserError when there is none."""
    checked = checked_vectors(vectors, "the gallery's vectors")
    require_same_length("the gallery's vectors and subjects", checked.rows, subjects)
    rows = np.flatnonzero(checked.known).astype(np.int64)
    if not len(rows):
        raise UserError("The gallery of ID retrieval holds no face.", "Give at least one image of each subject.")
    return Gallery(checked.unit[rows], tuple(subjects[row] for row in rows.tolist()), rows)


def retrieved_subjects(results: Floats, gallery: Gallery, mode: Mode, exclude: Indices | None = None) -> list[str]:
    """Return the subject of the gallery entry nearest to each result by cosine, ties to the lower index; N×D → N.

    `exclude` (N) names a gallery image that does not count for that result, −1 for none: its own source.
    """
    unit, found = unit_rows(results), []
    for start in range(0, len(unit), BLOCK):
        block = slice(start, start + BLOCK)
        left_out = None if exclude is None else exclude[block]
        found += (_by_image if mode == "spread" else _by_center)(unit[block], gallery, left_out)
    return found


def retrieval_measure(
    results: ArrayLike,
    subjects: Sequence[str],
    gallery: ArrayLike,
    gallery_subjects: Sequence[str],
    mode: Mode,
    judge: Judge,
    exclude: Sequence[int] | None = None,
) -> Measure:
    """Whether the gallery entry nearest to each result is of its subject; shapes N×D, N, M×D, M.

    Modes: `centers` (each subject's mean of unit vectors, renormalised) and `spread` (every image its own entry). A
    result's own source image may stand in the gallery; `exclude` (N indices into it, −1 for none) takes it out. A
    result without a face (a row of NaN) is a miss, and the note says how many. Raises UserError for other NaN, an
    empty gallery, and a subject that it does not hold: a miss would be the gallery's.
    """
    checked, entries = checked_vectors(results, "the results' vectors"), gallery_of(gallery, gallery_subjects)
    require_same_length("the results' vectors and subjects", checked.rows, subjects)
    left_out = None if exclude is None else np.asarray(exclude, dtype=np.int64)
    if left_out is not None:
        require_same_length("the results and what each excludes", checked.rows, left_out)
    _require_present(subjects, entries, left_out)
    names = retrieved_subjects(checked.rows, entries, mode, left_out)
    hits = np.array([name == subject for name, subject in zip(names, subjects, strict=True)], dtype=bool)
    return Measure.of_values(
        _protocol(mode, len(entries.rows), exclude is not None), judge, (hits & checked.known).astype(np.float64),
        Remark(~checked.known, "no face in the result, counted as a miss"),
    )  # fmt: skip


def _protocol(mode: Mode, images: int, excluding: bool) -> Protocol:
    without = ", each result's own source left out" if excluding else ""
    text = f"share of results whose nearest gallery entry by cosine is their subject's; {KINDS[mode]}; {images} images"
    return Protocol(f"id_retrieval_{mode}", "share", text + without, True)


def _require_present(subjects: Sequence[str], gallery: Gallery, exclude: Indices | None) -> None:
    counts: dict[str, int] = {}
    for name in gallery.subjects:
        counts[name] = counts.get(name, 0) + 1
    known = dict(zip(gallery.rows.tolist(), gallery.subjects, strict=True))
    for row, subject in enumerate(subjects):
        own = exclude is not None and known.get(int(exclude[row])) == subject
        if counts.get(subject, 0) - own < 1:
            what = "no other image with a face" if own else "no image with a face"
            raise UserError(
                f"The gallery of ID retrieval holds {what} of the subject {subject!r} (result {row}).",
                "Add one: who is not in the gallery cannot be retrieved.",
            )


def _by_image(unit: Floats, gallery: Gallery, exclude: Indices | None) -> list[str]:
    similarity = np.round(unit @ gallery.vectors.T, DECIMALS)  # N×M
    if exclude is not None:
        similarity[exclude[:, None] == gallery.rows[None, :]] = -np.inf
    return [gallery.subjects[index] for index in similarity.argmax(axis=1)]


def _by_center(unit: Floats, gallery: Gallery, exclude: Indices | None) -> list[str]:
    names = list(dict.fromkeys(gallery.subjects))
    owner = np.array([names.index(subject) for subject in gallery.subjects])
    sums = np.zeros((len(names), unit.shape[1]))
    np.add.at(sums, owner, gallery.vectors)
    similarity = np.round(unit @ unit_rows(sums).T, DECIMALS)  # N×subjects
    for result, image in () if exclude is None else enumerate(exclude):
        for entry in np.flatnonzero(gallery.rows == image):
            rest = sums[owner[entry]] - gallery.vectors[entry]
            alone = np.count_nonzero(owner == owner[entry]) == 1
            cosine = unit[result] @ unit_rows(rest[None])[0]
            similarity[result, owner[entry]] = -np.inf if alone else np.round(cosine, DECIMALS)
    return [names[index] for index in similarity.argmax(axis=1)]
