"""What the renderer knows of who somebody is, as numbers: a teacher of identity beside the subjects' labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.categories import Category


def subject_traits(kind: Category[Any, Any], first_subject: int, subjects: int) -> NDArray[np.float32]:
    """The numeric parameters of consecutive subjects, each of zero mean and unit variance over them: S×T."""
    table = np.array([kind.traits(kind.draw_subject(first_subject + i)) for i in range(subjects)], np.float64)
    spread = table.std(axis=0)
    return np.asarray((table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0), np.float32)
