"""What the renderer knows of who somebody is, as numbers: a teacher of identity beside the subjects' labels."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from data.render import draw_subject


def subject_traits(first_subject: int, subjects: int) -> NDArray[np.float32]:
    """The numeric parameters of consecutive subjects, each of zero mean and unit variance over them: S×T."""
    table = np.array([_numbers(first_subject + i) for i in range(subjects)], np.float64)
    spread = table.std(axis=0)
    return np.asarray((table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0), np.float32)


def _numbers(subject_seed: int) -> list[float]:
    return [value for value in asdict(draw_subject(subject_seed)).values() if isinstance(value, float)]
