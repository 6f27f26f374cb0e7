"""Seed ranges of the vehicles' subjects: they meet neither each other nor those of the faces."""

from __future__ import annotations

SHIPPED_WEIGHTS = range(4_000_000, 5_000_000)
JUDGES_TRAIN = range(5_000_000, 6_000_000)
JUDGES_EVAL = range(6_000_000, 7_000_000)
HELD_OUT_JUDGES = range(7_000_000, 8_000_000)
USER = range(8_000_000, 10_000_000)
