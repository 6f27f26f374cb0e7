"""One Dagster run in a process of its own: `python -m orchestration.worker JOB.json`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestration import telemetry

telemetry.silence()

EXIT_FAILED = 1
PR_SET_PDEATHSIG = 1
STATUS_DIR_VARIABLE = "EDITLOOM_STATUS_DIR"
STOP_FILE = "stop"
ALWAYS_VARIABLE = "EDITLOOM_ALWAYS"


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
    ws = Workspace.current()
    with registered(ws, "worker", f"editloom run {job.name}") as process, ws.dagster_instance() as instance:
        result = dg.materialize(
            ALL_ASSETS,
            selection=dg.AssetSelection.assets(*job.assets),
            partition_key=job.partition,
            instance=instance,
            tags={"editloom/run": job.name, WORKER_TAG: process},
            raise_on_error=False,
        )
    return bool(result.success)


def stop_requested() -> bool:
    """Whether `editloom run` was interrupted: then save and leave."""
    folder = os.environ.get(STATUS_DIR_VARIABLE)
    return folder is not None and (Path(folder).parent / STOP_FILE).exists()


def end_with_parent() -> None:
    """Be asked to stop (SIGTERM) when `editloom run` dies: the next one must not meet a worker of this one.

    Linux's own means; elsewhere a worker outlives a killed run until its work is done.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Read the job file named on the command line and execute it."""
    end_with_parent()
    sys.exit(0 if execute(Job.read(Path(sys.argv[1]))) else EXIT_FAILED)


if __name__ == "__main__":
    main()
