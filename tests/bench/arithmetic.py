"""Arithmetic: what a large matrix product reaches on this machine, and how much of it a piece of work contains."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE, REPEATS = 2048, 7


def peak_flops(dtype: torch.dtype, side: int = SIDE) -> float:
    """Floating-point operations a second of a large matrix product, on the threads that torch has now."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / median(seconds[1:])


def flops_of(run: Callable[[], object]) -> float:
    """Floating-point operations of the products and convolutions of one run; element-wise work does not count."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
