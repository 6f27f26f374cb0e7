"""The tracking server stopped for a minute in mid-training: how long anybody waits, and what arrives in the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure
from orchestration.tracking import open_tracker
from orchestration.tracking.spooled_run import SpooledRun, begin_run
from orchestration.workspace import Workspace
from tests.orchestration.tracking.server import Server, free_port
from tests.orchestration.tracking.trainer import ASSET, IMAGE_EVERY, Told, train, while_it

OUTAGE_S, BEFORE_S, AFTER_S = 60.0, 3.0, 3.0
STEP_S = 0.02
LONGEST_WAIT_S = 2.0
PATIENCE_S = 120.0


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_minute_without_the_tracking_server(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform_measured: Callable[..., None],
) -> None:
    """A step every 20 ms throughout, each with its metric, and a picture now and then."""
    server = Server(tmp_path / "server", free_port())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    told: Told = {}
    try:
        server.start()
        run = begin_run(workspace, "outage", ASSET, "bench")
        waits_s = [_trained(run, told, BEFORE_S)]
        server.kill()
        waits_s.append(_trained(run, told, OUTAGE_S))
        began = time.perf_counter()
        waited_s = run.run_id is None and time.perf_counter() - began
        server.start()
        waits_s.append(_trained(run, told, AFTER_S))
        run.finish(succeeded=True)
        deadline = time.monotonic() + PATIENCE_S
        while not run.settle() and time.monotonic() < deadline:
            time.sleep(0.1)
        missing, doubled = _compared(workspace, told)
    finally:
        server.kill()
    note = f"{len(told):,} steps, {OUTAGE_S:g} s without a server, SIGKILL; one MLflow server on SQLite, loopback"
    platform_measured(
        Figure(
            "tracking outage: longest wait of the training", max(*waits_s, float(waited_s or 0.0)), "s",
            bar=Bar(at_most=LONGEST_WAIT_S), note=note,
        ),
        Figure("tracking outage: points and pictures missing", missing, "records", bar=Bar(at_most=0), note=note),
        Figure("tracking outage: points and pictures twice", doubled, "records", bar=Bar(at_most=0), note=note),
    )  # fmt: skip


def _trained(run: SpooledRun, told: Told, seconds: float) -> float:
    until = time.monotonic() + seconds
    return train(run, while_it(lambda: time.monotonic() < until, len(told), STEP_S), told)


def _compared(ws: Workspace, told: Told) -> tuple[int, int]:
    """How much of what was told, with its own time, the server lacks, and how much it has more than once."""
    tracker = open_tracker(ws)
    run = str(tracker.find_asset_run("outage", ASSET.asset, ASSET.partition))
    found = Counter((m.step, m.timestamp, m.value) for m in tracker.client.get_metric_history(run, "loss"))
    wanted = {(step, at, value) for step, (at, value) in told.items()}
    names = [Path(file.path).name for file in tracker.client.list_artifacts(run, "images")]
    pictures = Counter(name.partition("+timestamp")[0] for name in names if name.endswith(".png"))
    shown = {f"faces+step+{step}" for step in told if step % IMAGE_EVERY == 0}
    missing = len(wanted - found.keys()) + len(shown - pictures.keys())
    return missing, found.total() - len(wanted) + pictures.total() - len(shown)
