"""Statuses are read while they are written, and the table shows them as a person expects."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest
from rich.console import Console

from orchestration.progress import WRITE_EVERY_S, StatusFile, StepStatus, read_statuses, status_table
from training.progress import Progress

ASSET = "feature_network[beard]"


def progress(step: int, **more: float) -> Progress:
    return Progress(step, 2048, "images", 512.0, 62.0, metrics=more)


def shown(*statuses: StepStatus) -> str:
    console = Console(record=True, width=160, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(status_table([s.asset for s in statuses], {s.asset: s for s in statuses}, "run"))
    return captured.get()


def test_status_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, ASSET)
    file.begin()
    file(progress(1024, loss=math.inf))
    file.end("failed", error="no face [in a.png]", user_error=True)
    assert read_statuses(tmp_path) == {ASSET: file.status}
    assert (file.status.step, file.status.total, file.status.state) == (1024, 2048, "failed")


def test_reader_never_meets_half_a_status(tmp_path: Path) -> None:
    """One thread rewrites a status as fast as it can, this one reads it: a torn file would not parse."""
    file, stop = StatusFile(tmp_path, ASSET), threading.Event()
    file.begin()

    def rewrite() -> None:
        while not stop.is_set():
            file.end("running", note="x" * 5000)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(500):
            assert read_statuses(tmp_path)[ASSET].state == "running"
    finally:
        stop.set()
        writer.join()


def test_what_a_killed_writer_left_is_no_status(tmp_path: Path) -> None:
    StatusFile(tmp_path, "images").end("done")
    (tmp_path / f"{ASSET}.tmp").write_text('{"asset": "feature_')
    assert list(read_statuses(tmp_path)) == ["images"]


def test_run_that_has_not_begun_has_no_statuses(tmp_path: Path) -> None:
    assert read_statuses(tmp_path / "status") == {}


def test_reports_are_written_a_few_times_a_second_and_the_last_one_stays(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, ASSET)
    file.begin()
    for step in range(1000):  # far less than WRITE_EVERY_S, which is a quarter of a second
        file(progress(step))
    assert WRITE_EVERY_S > 0.1
    assert read_statuses(tmp_path)[ASSET].step < 999
    file.end("done")
    assert read_statuses(tmp_path)[ASSET].step == 999


def test_running_step_shows_step_rate_and_time_left() -> None:
    row = shown(StepStatus(ASSET, "running", 1024, 2048, "images", 512.0, 62.0, 9.0))
    for expected in (ASSET, "running", "1,024/2,048 images", "512.0 images/s", "1:02", "0:09"):
        assert expected in row


@pytest.mark.parametrize("state", ["waiting", "done", "reused", "failed", "stopped", "skipped"])
def test_step_that_does_not_run_shows_its_state_alone(state: str) -> None:
    row = shown(StepStatus(ASSET, state, note="what came out [of it]", rate=512.0, seconds_left=62.0))
    assert state in row and "what came out [of it]" in row
    assert "/s" not in row and "1:02" not in row


def test_asset_without_a_status_waits() -> None:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(status_table(["images"], {}, "run"))
    assert "images" in captured.get() and "waiting" in captured.get()
