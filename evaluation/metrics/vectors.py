"""What judges give, checked before it is measured: vectors per image, a row of NaN where they found no face."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import UserError

Floats = NDArray[np.float64]
SMALL = 1e-12


@dataclass(frozen=True)
class Vectors:
    """Vectors N×D in float64 and which of them there are, N; those of images without a face hold zeros."""

    rows: Floats
    known: NDArray[np.bool_]

    @property
    def unit(self) -> Floats:
        """The vectors at length 1, N×D; a zero vector stays zero."""
        return unit_rows(self.rows)


def unit_rows(rows: Floats) -> Floats:
    """Return N×D rows at length 1; a zero row stays zero."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SMALL), dtype=np.float64)


def checked_vectors(values: ArrayLike, what: str, *, faceless: bool = True) -> Vectors:
    """Return N×D values as vectors; with `faceless`, a row of nothing but NaN says that there was no face.

    Raises ValueError when they are not N×D, and UserError that names the row for any other NaN, and for infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"{what} must be N×D, but their shape is {array.shape}")
    none = np.zeros(len(array), dtype=bool)
    if faceless and array.shape[1]:
        none |= np.isnan(array).all(axis=1)
    broken = np.flatnonzero(~np.isfinite(array).all(axis=1) & ~none)
    if len(broken):
        raise UserError(
            f"{what[0].upper()}{what[1:]} hold NaN or infinity, first in row {int(broken[0])} of {len(array)}.",
            "Check the judge's weights and the image of that row.",
        )
    return Vectors(np.where(none[:, None], 0.0, array), ~none)


def checked_sets(measured: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    """Return two sets of features, n×F and m×F; raises UserError for NaN, infinity, or two widths."""
    one = checked_vectors(measured, "the measured features", faceless=False).rows
    two = checked_vectors(reference, "the reference features", faceless=False).rows
    if one.shape[1] != two.shape[1]:
        raise UserError(
            f"The measured features are {one.shape[1]} per image, those of the reference {two.shape[1]}.",
            "Measure both with one judge.",
        )
    return one, two


def checked_values(values: ArrayLike, what: str) -> Floats:
    """Return N values; raises ValueError when they are not N, UserError that names the image for NaN or infinity."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{what} must be N values, but their shape is {array.shape}")
    return checked_vectors(array[:, None], what, faceless=False).rows[:, 0]


def require_same_length(what: str, *sets: Sized) -> None:
    """Raise ValueError when things that belong to the same N images differ in number."""
    lengths = [len(one) for one in sets]
    if len(set(lengths)) > 1:
        raise ValueError(f"{what} must be of the same images, but their numbers are {lengths}")
