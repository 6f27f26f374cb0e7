"""The worst edits: which they are by one named rule, and a picture of them with their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.edit_report import ReportRow
from evaluation.metrics.metric import format_value
from evaluation.pixels import Images
from evaluation.sheet import Picture, side_by_side

WORST = (
    "Worst first: edits that failed, the least probable one first; then the others by the mean of their ranks in PSNR "
    "outside the mask and in identity cosine."
)
RANKED = ("psnr_outside", "identity_cosine")
WRITTEN: Mapping[str, str] = {
    "attribute_probability": "probability",
    "psnr_outside": "PSNR outside",
    "identity_cosine": "identity",
    "seam_ratio": "seam",
}


def worst_edits(row: ReportRow, count: int) -> tuple[int, ...]:
    """Return the indices of a row's `count` worst edits by the rule of `WORST`, worst first."""
    failed = row.measure("attribute_success").values < 1.0
    ranks = np.mean([_ranks(row.measure(name).values) for name in RANKED], axis=0)
    within = np.where(failed, row.measure("attribute_probability").values, ranks)
    return tuple(int(index) for index in np.lexsort((within, ~failed))[:count])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The place of each value (N), 0 for the lowest; those that are not known stand last."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def worst_picture(
    row: ReportRow, worst: Sequence[int], columns: Sequence[tuple[str, Images]], names: Sequence[str], title: str
) -> Picture:
    """Draw the worst edits' images of each column (N×H×W×3), their numbers beneath, in two halves side by side."""
    chosen = [(caption, images[list(worst)]) for caption, images in columns]
    labels = [f"{place}. {_numbers(row, index)}; {names[index][:8]}" for place, index in enumerate(worst, 1)]
    return side_by_side(chosen, halves=2, title=title, subtitle="worst first", row_labels=labels)


def _numbers(row: ReportRow, index: int) -> str:
    """What was measured of one image, as people read it."""
    known = {measure.name: measure for measure in row.measures}
    parts = []
    for name, word in WRITTEN.items():
        if name in known:
            value, unit = float(known[name].values[index]), known[name].protocol.unit
            parts.append(f"{word} {'–' if np.isnan(value) else format_value(value, unit)}")
    return ", ".join(parts)
