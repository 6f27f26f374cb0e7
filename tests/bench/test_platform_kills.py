"""`kill -9` at every fixed place: the figures of the tests that do it, run once more on a quiet machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure
from tests.orchestration.kills.killing import RECLAIM_S
from tests.orchestration.kills.points import POINTS

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = "tests/orchestration/kills"
RECORD = "KILLS_RECORD"


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_fixed_fail_points(platform_measured: Callable[..., None], tmp_path: Path) -> None:
    record = tmp_path / "survived.jsonl"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", TESTS]
    environment = {**os.environ, RECORD: str(record), "OMP_NUM_THREADS": "1"}
    tested = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert record.exists(), tested.stdout[-3000:] + tested.stderr[-1000:]
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    survived = sum(row["survived"] for row in rows)
    failed = ", ".join(row["point"] for row in rows if not row["survived"])
    looks, half = sum(row["looks"] for row in rows), sum(len(row["half_published"]) for row in rows)
    reclaims = sorted(float(row["reclaim_s"]) for row in rows)
    platform_measured(
        Figure(
            "fixed fail points survived with equal payloads", survived, f"of {len(POINTS)}", bar=Bar(len(POINTS)),
            note=f"not: {failed}" if failed else "kill -9 of the whole run, or of its worker alone",
        ),
        Figure("half-published artifacts seen", half, "artifacts", bar=Bar(at_most=0), note=f"in {looks:,} looks"),
        Figure(
            "longest reclaim after kill -9", reclaims[-1], "s", bar=Bar(at_most=RECLAIM_S),
            note=f"leases, slots, locks and records; median {reclaims[len(reclaims) // 2]:.1f} s",
        ),
    )  # fmt: skip
