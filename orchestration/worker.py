"""One Dagster run in a process of its own: forked for `editloom run`, or `python -m orchestration.worker JOB.json`."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from setproctitle import setproctitle

from data.starter import when_starter_ends
from orchestration import telemetry

telemetry.silence()

EXIT_FAILED = 1
TITLE = "editloom worker"
"""What `ps` shows of a worker, before the path of its job."""
PR_SET_PDEATHSIG = 1
STATUS_DIR_VARIABLE = "EDITLOOM_STATUS_DIR"
STOP_FILE = "stop"
ALWAYS_VARIABLE = "EDITLOOM_ALWAYS"
STARTED_BY_VARIABLE = "EDITLOOM_STARTED_BY"
"""The Dagster run whose step `editloom run` is, where one started it."""
STARTED_BY_TAG = "editloom/started-by"


@dataclass(frozen=True)
class Job:
    """What one Dagster run materializes: assets of one partition (or none), and where it reports."""

    name: str
    assets: tuple[str, ...]
    partition: str | None
    status_dir: str
    always: bool = False

    def write(self, path: Path) -> Path:
        """Write the job for a worker to read."""
        path.write_text(json.dumps(asdict(self)))
        return path

    def id_of(self, asset: str) -> str:
        """The id of one of its assets, as statuses name it."""
        return f"{asset}[{self.partition}]" if self.partition else asset

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read what `write` wrote."""
        known = json.loads(path.read_text())
        return cls(**{**known, "assets": tuple(known["assets"])})


def execute(job: Job) -> bool:
    """Materialize the job's assets in this process, in graph order; True when all of them succeeded."""
    import dagster as dg

    from orchestration.assets import ALL_ASSETS
    from orchestration.compute.processes import WORKER_TAG, registered
    from orchestration.workspace import Workspace

    os.environ[STATUS_DIR_VARIABLE] = job.status_dir
    if job.always:
        os.environ[ALWAYS_VARIABLE] = "1"
    starter = os.environ.get(STARTED_BY_VARIABLE)
    ws = Workspace.current()
    with registered(ws, "worker", f"editloom run {job.name}") as process, ws.dagster_instance() as instance:
        # Named as the jobs of the graph's code location, so that the page says what a run was.
        chosen = dg.define_asset_job("attribute" if job.partition else "shared", dg.AssetSelection.assets(*job.assets))
        graph = dg.Definitions(assets=ALL_ASSETS, jobs=[chosen])
        result = graph.resolve_job_def(chosen.name).execute_in_process(
            partition_key=job.partition,
            instance=instance,
            tags={"editloom/run": job.name, WORKER_TAG: process, **({STARTED_BY_TAG: starter} if starter else {})},
            raise_on_error=False,
        )
    return bool(result.success)


def stop_requested() -> bool:
    """Whether `editloom run` was interrupted: then save and leave."""
    folder = os.environ.get(STATUS_DIR_VARIABLE)
    return folder is not None and (Path(folder).parent / STOP_FILE).exists()


def work(path: Path, log: Path) -> None:
    """A forked worker's whole life: execute the job file `path`, with all that is said going to the end of `log`."""
    # A session of its own: Ctrl-C reaches `editloom run` alone, which then lets every worker save its state.
    os.setsid()
    with log.open("ab") as file:
        for said in (1, 2):  # what libraries in C write too
            os.dup2(file.fileno(), said)
    _end_with_starter()
    try:
        _execute_file(path)
    finally:
        atexit._run_exitfuncs()  # which Python calls in forked processes from 3.14 on


def main() -> None:
    """Read the job file named on the command line and execute it."""
    _end_with_parent()
    _execute_file(Path(sys.argv[1]))


def _execute_file(path: Path) -> None:
    setproctitle(f"{TITLE} {path}")
    sys.exit(0 if execute(Job.read(path)) else EXIT_FAILED)


def _end_with_starter() -> None:
    """Be asked to stop (SIGTERM) when `editloom run` dies, or the process between: the next one must not meet us."""
    _end_with_parent()
    when_starter_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))


def _end_with_parent() -> None:
    """Be asked to stop (SIGTERM) when the parent process dies.

    Linux's own means; elsewhere a process outlives its parent until its work is done.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
