"""`editloom materialize`: one asset, built anew; the command of each stage in dvc.yaml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from data.errors import UserError
from orchestration import arithmetic
from orchestration.code_versions import version_of
from orchestration.graph import node
from orchestration.progress import read_statuses
from orchestration.tracking.replay import make_ready, replay, tell
from orchestration.worker import Job, execute
from orchestration.workspace import Workspace

EXIT_FAILED, EXIT_REFUSED = 1, 3


def materialize_one(
    ws: Workspace, asset: str, partition: str | None, code_version: str | None, console: Console
) -> int:
    """Build one asset whether or not it could be reused: DVC, or a person, has decided. Returns the exit status.

    Raises UserError for an unknown asset or partition, and when dvc.yaml names another code version than the code's.
    """
    _check(ws, asset, partition, code_version)
    folder = ws.state / "runs" / f"materialize-{asset}{'-' + partition if partition else ''}" / "status"
    for stale in folder.glob("*.json"):
        stale.unlink()
    make_ready(ws)
    succeeded = _executed(ws, Job(f"materialize {asset}", (asset,), partition, str(folder), always=True), folder)
    tell(replay(ws), console)
    for status in read_statuses(folder).values():
        if status.user_error:
            raise UserError(f"{status.asset}: {status.error}")
        console.print(f"{status.asset}: {status.state} {status.error}", markup=False, highlight=False)
    refused = any(status.state == "refused" for status in read_statuses(folder).values())
    return 0 if succeeded else EXIT_REFUSED if refused else EXIT_FAILED


def _executed(ws: Workspace, job: Job, folder: Path) -> bool:
    """Execute in this process, or in a new one that is started with what portable arithmetic needs."""
    if not ws.params().compute.portable:
        return execute(job)
    folder.mkdir(parents=True, exist_ok=True)
    file = job.write(folder.with_suffix(".job"))
    with arithmetic.held(ws.params()):
        return subprocess.run([sys.executable, "-m", "orchestration.worker", str(file)]).returncode == 0


def _check(ws: Workspace, asset: str, partition: str | None, code_version: str | None) -> None:
    declared = ws.params().attributes
    if bool(node(asset).partition) != bool(partition):
        wants = f"needs --partition, one of: {', '.join(declared)}" if node(asset).partition else "has no partitions"
        raise UserError(f"{asset} {wants}.")
    if partition and partition not in declared:
        raise UserError(f"There is no attribute '{partition}'.", f"params.yaml declares: {', '.join(declared)}.")
    if code_version and code_version != version_of(asset):
        raise UserError(
            f"dvc.yaml was written for code version {code_version} of {asset}; the code is at {version_of(asset)}.",
            "Run `editloom dvc-yaml`, then the same command again.",
        )
