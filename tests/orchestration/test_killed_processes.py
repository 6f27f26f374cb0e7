"""A process that is killed while it trains: Dagster's executor, and `editloom run`, start it again by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from data.fail_points import HOLD_VARIABLE
from data.fail_points import VARIABLE as FAIL_AT
from orchestration.chains import Chains
from orchestration.compute_sections import Compute
from orchestration.graph import AssetId
from orchestration.store import ledger
from orchestration.worker import ALWAYS_VARIABLE, TITLE, Job
from orchestration.workspace import Workspace

ChangeParams = Callable[..., None]

NETWORK = AssetId("feature_network", "beard")
# Settings that change no byte: a checkpoint after every iteration, and no long wait before the next attempt.
QUICK = {"attributes.beard.feature_network.checkpoint_every_s": 0.0, "compute.retry_delay_s": 0.2}
PATIENCE_S = 300.0
DAGSTER = (str(Path(__file__).with_name("multiprocess_run.py")), NETWORK.asset, "beard")
RUN = ("-m", "orchestration.cli", "run", "--select", NETWORK.asset, "--partition", "beard")


def wait_for(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", [DAGSTER, RUN], ids=["dagster's multiprocess executor", "editloom run"])
def test_killed_process_is_started_again_and_goes_on_to_the_same_bytes(
    baseline: Workspace, change_params: ChangeParams, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Killed once, from outside, right after its third checkpoint; the same command ends well."""
    before, held, said = ledger.last_entry(baseline.root, *_parts()), tmp_path / "held", tmp_path / "said.log"
    change_params(baseline, QUICK)
    points = {FAIL_AT: "checkpoint-written:3", HOLD_VARIABLE: str(held), ALWAYS_VARIABLE: "1", "COLUMNS": "250"}
    with said.open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, *command],
            cwd=baseline.root,
            env={**os.environ, **baseline.environment(), **points},
            stdout=log,
            stderr=log,
        )
    wait_for(lambda: held.exists() or running.poll() is not None, "the third checkpoint")
    assert running.poll() is None, said.read_text()
    victim = int(held.read_text())
    assert victim != running.pid, "what is killed is a process of its own"
    assert sorted(path.stem for path in _checkpoints(baseline)) == ["000000002", "000000003"]
    os.kill(victim, signal.SIGKILL)
    assert running.wait(PATIENCE_S) == 0, said.read_text()
    after = ledger.last_entry(baseline.root, *_parts())
    assert before is not None and after is not None and after.seq > before.seq
    assert after.materialization.data_version == before.materialization.data_version
    assert "SIGKILL" in said.read_text() or "signal 9" in said.read_text(), said.read_text()


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[Chains]:
    said: list[str] = []
    made = Chains(tmp_path, Compute(retries=2, retry_delay_s=0.01), lambda: said.append("recovered"), said.append)
    made.start(Job("name", ("judges",), None, str(tmp_path / "status")), "shared-1")
    yield made
    forkserver._forkserver._stop()  # type: ignore[attr-defined] # no other test shall meet this one's


def workers() -> list[psutil.Process]:
    """This process's workers, known by what `ps` shows of them."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if TITLE in " ".join(child.cmdline()):
                found.append(child)
    return found


def end_each(chains: Chains, number: signal.Signals, *, server: bool = False) -> list[int]:
    """End every worker that appears by a signal, or else what it was forked from; their process ids."""
    ended: list[int] = []
    while chains.poll():
        for worker in workers():
            if worker.pid not in ended:
                ended.append(worker.pid)
                with suppress(psutil.NoSuchProcess):
                    (worker.parent() if server else worker).send_signal(number)
        time.sleep(0.02)
    return ended


def test_worker_that_is_killed_again_and_again_is_given_up(chains: Chains) -> None:
    (chains.folder / "status").mkdir()
    assert len(end_each(chains, signal.SIGKILL)) == 3
    assert chains.failed


def test_worker_that_was_asked_to_end_is_not_started_again(chains: Chains) -> None:
    assert len(end_each(chains, signal.SIGTERM)) == 1
    assert chains.failed


def test_workers_of_a_killed_fork_server_end_and_are_started_again(chains: Chains) -> None:
    (chains.folder / "status").mkdir()
    ended = end_each(chains, signal.SIGKILL, server=True)
    assert len(ended) == 3 and chains.failed
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in ended), "the end of every worker")


def _parts() -> tuple[str, str | None]:
    return NETWORK.asset, NETWORK.partition


def _checkpoints(ws: Workspace) -> list[Path]:
    return list(ws.workdir(*_parts()).glob("*/checkpoints/*.safetensors"))
