"""Arithmetic: what a large matrix product reaches on this machine, and how much of it a piece of work contains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

SIDE, REPEATS = 2048, 7


def peak_flops(dtype: torch.dtype, side: int = SIDE) -> float:
    """Floating-point operations a second of a large matrix product, the fastest of some, on torch's threads."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def flops_of(run: Callable[[], object]) -> float:
    """Floating-point operations of the products and convolutions of one run; element-wise work does not count."""
    with _Counter() as counter:
        run()
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up torch's own formulas. (Its FlopCounterMode follows modules too, and fails in a gradient penalty.)"""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        return out
