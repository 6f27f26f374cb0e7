"""The memory that making pairs takes, against their number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure
from tests.bench.peak_memory import measured_apart

FEW, MANY = 1000, 20_000
SCRIPT = Path(__file__).with_name("many_pairs.py")


@pytest.mark.bench
def test_memory_of_making_pairs_does_not_grow_with_their_number(
    all_measured: Callable[..., None], tmp_path: Path
) -> None:
    few, many = (measured_apart(SCRIPT, str(count), str(tmp_path / str(count))) for count in (FEW, MANY))
    assert (few["kept"], many["kept"]) == (FEW, MANY)
    note = "make_pairs on 64 px, thin networks, closed-form judges; peak of the process"
    grown = f"grew by {many['peak_mb'] - few['peak_mb']:.1f} MB; 5 % is what the allocator may add"
    all_measured(
        Figure(f"memory of making pairs: {FEW}", few["peak_mb"], "MB", note=note),
        Figure(f"memory of making pairs: {MANY}", many["peak_mb"], "MB", note=f"{note}; {many['seconds']:.0f} s"),
        Figure(
            f"memory of making pairs: {MANY} over {FEW}",
            many["peak_mb"] / few["peak_mb"],
            "ratio",
            bar=Bar(at_most=1.05),
            note=grown,
        ),
    )
