"""Lineage at scale: an image set of 1 and of 10 million images, a ledger of 10,000 models, on one machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure
from tests.bench.many_models import make_workspace
from tests.bench.peak_memory import measured_apart

HERE = Path(__file__).parent
MODELS = 10_000
SEEN_BY = 4 * MODELS + MODELS // 100
"""Of each hundred models their original network and its report; of each model its feature network, pairs, editor."""

Write = Callable[..., None]


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_questions_of_an_auditor(lineage_measured: Write, tmp_path: Path) -> None:
    figures = []
    for images in (1_000_000, 10_000_000):
        size = f"{images // 1_000_000} million images, {MODELS:,} models"
        made = make_workspace(tmp_path / str(images), images, MODELS)
        asked = [str(tmp_path / str(images)), made["editor"], made["train"]]
        first, again = (measured_apart(HERE / "lineage_at_scale.py", *asked) for _ in range(2))
        assert again["descendants"]["count"] > SEEN_BY and again["audit"]["count"] > 5
        figures += _figures(size, first, again, barred=images == 10_000_000)
    lineage_measured(*figures)


def _figures(
    size: str, first: dict[str, dict[str, float]], again: dict[str, dict[str, float]], barred: bool
) -> list[Figure]:
    build = f"the first look, which also makes the image set's index: {first['descendants']['seconds']:.1f} s"
    peak = max(float(str(one["peak_mb"])) for one in (first, again))
    count = round(again["descendants"]["count"])
    bar_s, bar_mb = (Bar(at_most=2), Bar(at_most=1000)) if barred else (None, None)
    return [
        Figure(f"audit of one model, {size}", again["audit"]["seconds"], "s", bar=bar_s),
        Figure(
            f"all descendants of one image, {size}", again["descendants"]["seconds"], "s", bar=bar_s,
            note=f"{count:,} descendants; {build}",
        ),
        Figure(f"memory of both questions, {size}", peak, "MB", bar=bar_mb, note="peak, the index made as well"),
    ]  # fmt: skip
