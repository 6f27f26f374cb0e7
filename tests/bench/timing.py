"""Times of several contenders in one run, taken in turns, so that a busy moment strikes them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median

import torch

REPEATS = 7


def interleaved(contenders: Mapping[str, Callable[[], None]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Seconds of each contender in each of `repeats` rounds; every one runs once before, to warm up."""
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def speedup(seconds: Mapping[str, list[float]], ours: str, theirs: str) -> tuple[float, tuple[float, float]]:
    """How many times as long `theirs` takes as `ours`: median, lowest and highest of the rounds."""
    ratios = [b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True)]
    return median(ratios), (min(ratios), max(ratios))


@contextmanager
def threads(count: int) -> Iterator[str]:
    """Set torch's CPU threads for a while; gives their number in words."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield f"{count} thread{'s' * (count > 1)}"
    finally:
        torch.set_num_threads(before)
