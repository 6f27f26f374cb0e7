"""Benchmarks write what they measured into docs/results.json before they judge it; BENCH_DOCS names another folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.params import Params, load_params
from orchestration.results import Figure, Record, record, record_all

REPOSITORY = Path(__file__).resolve().parents[2]
GROUP, COMMAND = "spine", "make bench"

Measured = Callable[..., Record]


@pytest.fixture(scope="session")
def measured() -> Measured:
    """Write a figure down; the test fails when it misses its bar."""
    docs = Path(os.environ.get("BENCH_DOCS", REPOSITORY / "docs"))

    def write(figure: Figure, command: str = COMMAND) -> Record:
        made = record(docs, figure, group=GROUP, command=command)
        assert made.met is not False, f"{made.name}: {made.value:.4g} {made.unit}, the bar is {made.bar}"
        return made

    return write


@pytest.fixture(scope="session")
def all_measured() -> Callable[..., None]:
    """Write several figures of the attribute editing down, then fail when any misses its bar."""
    return _writer("attribute")


@pytest.fixture(scope="session")
def evaluation_measured() -> Callable[..., None]:
    """Write several figures of the evaluation down, then fail when any misses its bar."""
    return _writer("evaluation")


@pytest.fixture(scope="session")
def lineage_measured() -> Callable[..., None]:
    """Write several figures of the lineage down, then fail when any misses its bar."""
    return _writer("lineage")


@pytest.fixture(scope="session")
def platform_measured() -> Callable[..., None]:
    """Write several figures of the platform down, then fail when any misses its bar."""
    return _writer("platform")


def _writer(group: str) -> Callable[..., None]:
    docs = Path(os.environ.get("BENCH_DOCS", REPOSITORY / "docs"))

    def write(*figures: Figure) -> None:
        made = record_all(docs, figures, group=group, command=COMMAND)
        missed = [f"{r.name}: {r.value:.4g} {r.unit}, the bar is {r.bar}" for r in made if r.met is False]
        assert not missed, "\n".join(missed)

    return write


@pytest.fixture(scope="session")
def demo_params() -> Params:
    """The demo's settings: what is timed here has its sizes."""
    return load_params(REPOSITORY / "orchestration" / "presets" / "demo.yaml")
