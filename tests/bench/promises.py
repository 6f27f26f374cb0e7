"""What is promised, counted: each promise's own tests, run in one session of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from orchestration.results import Bar, Figure

REPOSITORY = Path(__file__).resolve().parents[2]
ROOM = "tests/orchestration"


@dataclass(frozen=True)
class Promise:
    """A figure's name, and the tests that must hold for it: a file's, by the ends of their names."""

    name: str
    file: str
    tests: tuple[str, ...]


def counted(promises: Sequence[Promise], report: Path) -> list[Figure]:
    """A figure for each promise: how many of its tests hold; `report` is where pytest's own report goes."""
    passed = _passed(report, (f"{one.file}::test_{test}" for one in promises for test in one.tests))
    return [_figure(promise, passed) for promise in promises]


def _figure(promise: Promise, passed: Mapping[str, bool]) -> Figure:
    held = sum(passed[f"test_{test}"] for test in promise.tests)
    broken = [test for test in promise.tests if not passed[f"test_{test}"]]
    note = f"of {len(promise.tests)}; each is a test of {promise.file}"
    return Figure(
        promise.name, held, "count", bar=Bar(at_least=len(promise.tests)),
        note=f"{note}; failed: {', '.join(broken)}" if broken else note,
    )  # fmt: skip


def _passed(report: Path, tests: Iterable[str]) -> dict[str, bool]:
    """Whether each test passed, by its name; a test that is not there fails the run as a whole."""
    said = ("PYTEST", "EDITLOOM", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(said)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "--timeout", "1200"]
    done = subprocess.run(
        [*command, f"--junitxml={report}", *tests],
        cwd=REPOSITORY, env={**environment, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert report.exists() and done.returncode in (0, 1), done.stdout[-4000:] + done.stderr[-2000:]
    cases = ElementTree.parse(report).iter("testcase")
    # The name of a test that keeps to one worker ends with its group's.
    named = ((str(case.get("name")).partition("@")[0], case) for case in cases)
    return {name: case.find("failure") is None and case.find("error") is None for name, case in named}
