"""A step that takes all there is to take and then only waits: `python long_step.py WORKSPACE in-process|children`.

LONG_STEP in the environment is the partition that it says it builds.

It runs in a real Dagster run, as a worker of `editloom run` does, or in a child of the process that executes the run,
as under Dagster's page; it says on its output what it is once it holds its slot, its lease and its lock.
"""

import json
import os
import sys
import time
from pathlib import Path

import dagster as dg

from orchestration.attempt import status_folder
from orchestration.compute.admission import POOL
from orchestration.compute.build_lock import building
from orchestration.compute.leases import lease_devices
from orchestration.compute.processes import WORKER_TAG, register_executor, registered
from orchestration.compute_sections import DeviceRequest
from orchestration.graph import AssetId
from orchestration.progress import StatusFile
from orchestration.tracking import open_tracker
from orchestration.workspace import Workspace

NAME = os.environ.get("LONG_STEP", "")


@dg.op(pool=POOL)
def long_step(context: dg.OpExecutionContext) -> None:
    ws, run = Workspace.current(), context.run_id
    asset = AssetId("edit_pairs", NAME)
    status = StatusFile(status_folder(ws, run), str(asset))
    register_executor(ws, run)
    with (
        registered(ws, "step", str(asset), run, status.path),
        building(ws, asset, run, lambda: False, status.wait),
        lease_devices(ws, DeviceRequest(), str(asset), run),
    ):
        tracker = open_tracker(ws)
        tracker.asset_run(run, tracker.parent_run(run, "test"), "edit_pairs", NAME)
        status.begin()
        print(json.dumps({"run": run, "pid": os.getpid(), "parent": os.getppid()}), flush=True)
        time.sleep(600)


@dg.job(executor_def=dg.in_process_executor)
def in_this_process() -> None:
    long_step()


@dg.job(executor_def=dg.multiprocess_executor)
def in_children() -> None:
    long_step()


def main() -> None:
    root, how = sys.argv[1:]
    os.environ["EDITLOOM_WORKSPACE"] = root
    ws = Workspace.at(Path(root))
    with ws.dagster_instance() as instance:
        if how == "children":
            dg.execute_job(dg.reconstructable(in_children), instance)
            return
        with registered(ws, "worker", "test") as process:
            in_this_process.execute_in_process(instance=instance, tags={WORKER_TAG: process})


if __name__ == "__main__":
    main()
