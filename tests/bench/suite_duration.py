"""How long `make test` takes: run by `make bench-test` alone, as it runs every other test."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure, Record

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.bench
def test_make_test_takes_at_most_25_minutes(measured: Callable[..., Record]) -> None:
    # What pytest and make say to their children would change the run that is timed.
    said = ("PYTEST", "MAKE", "MFLAGS", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(said)}
    started = time.perf_counter()
    done = subprocess.run(["make", "test"], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    minutes = (time.perf_counter() - started) / 60
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    last = next((line for line in reversed(done.stdout.splitlines()) if " passed" in line), "")
    figure = Figure("make test", minutes, "min", bar=Bar(at_most=25), note=last.strip("= "))
    measured(figure, command="make bench-test")
