"""The partitions can be made again by Dagster's own backfill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from orchestration.workspace import Workspace

BACKFILL = ["job", "backfill", "-m", "orchestration.definitions", "-j", "attribute", "--noprompt"]


def test_backfill_of_two_attributes_queues_two_runs(workspace: Workspace) -> None:
    command = [str(Path(sys.executable).with_name("dagster")), *BACKFILL, "--partitions", "beard,short_hair"]
    environment = {**os.environ, **workspace.environment()}
    workspace.prepare()
    done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    with workspace.dagster_instance() as instance:
        runs = instance.get_runs()
        assert {run.tags["dagster/partition"] for run in runs} == {"beard", "short_hair"} and len(runs) == 2
        assert {run.job_name for run in runs} == {"attribute"}
        assert {run.status for run in runs} == {dg.DagsterRunStatus.QUEUED}  # the daemon starts them
        assert {run.tags["dagster/backfill"] for run in runs} == {one.backfill_id for one in instance.get_backfills()}
