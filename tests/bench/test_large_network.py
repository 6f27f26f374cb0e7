"""1024 px on this machine: that it runs, how long it takes and how much memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Figure, usable_cores
from tests.bench.peak_memory import measured_apart

SCRIPT = Path(__file__).with_name("large_network.py")
WORKS = {
    "forward": "one forward pass of the generator",
    "fused": "one fused edit at 64×64 features",
    "step": "one training step, batch 2, with the gradient penalty",
}


@pytest.mark.bench
@pytest.mark.parametrize("what", WORKS)
def test_config_f_at_1024_px(all_measured: Callable[..., None], what: str) -> None:
    count = usable_cores()
    found = measured_apart(SCRIPT, what, str(count), threads=count)
    prefix, note = f"1024 px, StyleGAN2 config F: {WORKS[what]}", f"bf16, {count} threads, a process of its own"
    all_measured(
        Figure(f"{prefix}, time", found["seconds"], "s", note=note),
        Figure(f"{prefix}, peak memory", found["peak_mb"] / 1000, "GB", note=note),
    )
