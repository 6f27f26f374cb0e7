"""Seed ranges that never meet, and named random streams."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

SHIPPED_WEIGHTS = range(0, 1_000_000)
JUDGES_TRAIN = range(1_000_000, 2_000_000)
JUDGES_EVAL = range(2_000_000, 3_000_000)
HELD_OUT_JUDGES = range(3_000_000, 4_000_000)
USER = range(10_000_000, 2**62)

_Item = TypeVar("_Item")
_WORD_BYTES = 6  # 48 bits: an exact fraction in a double


class Stream:
    """Random numbers that depend on a seed and a name alone.

    Every group of parameters has a stream of its own, so that a parameter added later moves no other one. The numbers
    come from BLAKE2b in counter mode: they depend on no library version.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._key = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=32).digest()
        self._count = 0
        self._words: list[float] = []

    def unit(self) -> float:
        """The next number in [0, 1)."""
        if not self._words:
            self._refill()
        return self._words.pop()

    def uniform(self, low: float, high: float) -> float:
        """The next number in [low, high)."""
        return low + (high - low) * self.unit()

    def signed(self, bound: float) -> float:
        """The next number in [-bound, bound)."""
        return self.uniform(-bound, bound)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def choice(self, items: Sequence[_Item]) -> _Item:
        """One of the items, all equally likely."""
        return items[int(self.unit() * len(items))]

    def weighted(self, weights: Sequence[tuple[_Item, float]]) -> _Item:
        """One of the items by their weights, which sum to 1."""
        left = self.unit()
        for item, weight in weights:
            left -= weight
            if left < 0:
                return item
        return weights[-1][0]

    def _refill(self) -> None:
        block = hashlib.blake2b(self._count.to_bytes(8, "little"), key=self._key).digest()
        self._count += 1
        starts = range(0, len(block) - _WORD_BYTES + 1, _WORD_BYTES)
        self._words = [int.from_bytes(block[i : i + _WORD_BYTES], "little") / 2.0 ** (8 * _WORD_BYTES) for i in starts]
