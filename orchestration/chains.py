"""The worker processes of one `editloom run`: each works off a chain of assets; a killed one is started again.

They are forked from one process, Python's fork server, which has imported the graph before: that takes seconds. It
stays with this process, as does what it imported: one `editloom run`, and one workspace, for each process.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from orchestration.compute_sections import Compute
from orchestration.progress import read_statuses
from orchestration.worker import STOP_FILE, Job, work

POLL_S = 0.3
STOP_WAIT_S = 20.0
IMPORTED = ("orchestration.assets", "mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "dvc.repo.commit")
"""What every worker needs, some of it only once it publishes: the fork server imports it for all of them."""
_SERVER_DIED = 255
"""Exit status that Python gives to a forked process whose server died before it could tell."""
_ENDED_WELL = frozenset({"done", "reused"})
# Somebody asked the worker to end, in one way or another: that is not undone.
_ASKED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass
class _Chain:
    """A job with the process that works on it now, how often one was started again, and when one shall be."""

    job: Job
    label: str
    process: ForkServerProcess
    again: int = 0
    again_at: float | None = None
    over: bool = False


@dataclass
class Chains:
    """Workers of one run. `recover` completes what a killed one left half-published; `say` tells a person."""

    folder: Path
    compute: Compute
    recover: Callable[[], object]
    say: Callable[[str], None]
    failed: bool = False
    _chains: list[_Chain] = field(default_factory=list)
    _stopping: bool = False

    def start(self, job: Job, label: str) -> None:
        """Start a worker on a job; what it says goes to `label`.log."""
        self._chains.append(_Chain(job, label, self._process(job, label)))

    def poll(self) -> bool:
        """Whether any worker still runs, or waits to be started again."""
        for chain in self._chains:
            if not chain.over:
                self._look_after(chain)
        return not all(chain.over for chain in self._chains)

    def stop(self) -> None:
        """Ask every worker to save and leave; end those that do not."""
        self._stopping = True
        (self.folder / STOP_FILE).touch()
        deadline = time.monotonic() + STOP_WAIT_S
        while self.poll() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for chain in self._chains:
            if chain.process.is_alive():
                chain.process.terminate()
                chain.process.join()

    def _process(self, job: Job, label: str) -> ForkServerProcess:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        file = job.write(self.folder / f"{label}.job")
        process = context.Process(target=work, args=(file, self.folder / f"{label}.log"), name=label)
        process.start()
        return process

    def _look_after(self, chain: _Chain) -> None:
        code = chain.process.exitcode
        if code is None:
            return
        if self._stopping or code == 0 or not _was_killed(code) or chain.again >= self.compute.retries:
            chain.over = True
            self.failed = self.failed or code != 0
        elif chain.again_at is None:
            wait_s = _wait_s(self.compute.retry_delay_s, chain.again)
            chain.again_at = time.monotonic() + wait_s
            self.say(
                f"{chain.label}: its worker died by {_cause(code)}. It starts again in {wait_s:.0f} s, "
                f"time {chain.again + 1} of {self.compute.retries}, and goes on from its last checkpoint."
            )
        elif time.monotonic() >= chain.again_at:
            self._start_again(chain)

    def _start_again(self, chain: _Chain) -> None:
        """A new process for what is left of the chain, after what the dead one had half-published is complete."""
        self.recover()
        statuses = read_statuses(Path(chain.job.status_dir))
        ended = {status.asset for status in statuses.values() if status.state in _ENDED_WELL}
        left = tuple(name for name in chain.job.assets if chain.job.id_of(name) not in ended)
        chain.job, chain.again, chain.again_at = replace(chain.job, assets=left), chain.again + 1, None
        if left:
            chain.process = self._process(chain.job, chain.label)
        else:
            chain.over = True


def _was_killed(code: int) -> bool:
    """Whether an exit status says that a process was ended from outside, or by its own fault, without being asked."""
    return code == _SERVER_DIED or (code < 0 and -code not in _ASKED)


def _cause(code: int) -> str:
    return "the death of the process it was forked from" if code == _SERVER_DIED else signal.Signals(-code).name


def _wait_s(delay_s: float, again: int) -> float:
    """Twice as long each time, and drawn around that: chains that died together need not come back together."""
    return delay_s * 2.0**again * random.uniform(0.5, 1.5)
