"""`python ray_jobs.py ADDRESS WORKSPACE JOBS LOG`: tasks that hold what bulk steps ask for, and write it down.

JOBS is a JSON list of (devices, seconds). Each task goes to the cluster with the options of a step.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import ray

from orchestration.compute_sections import DeviceRequest
from orchestration.params import Params
from orchestration.ray_cluster.cluster import connect, task_options
from orchestration.store.records import Wanted
from orchestration.workspace import Workspace

WANTED = Wanted(
    asset="original_network", partition=None, code_version="1", params_digest="p", params={}, seed=None, inputs={},
    device_class="cpu",
)  # fmt: skip


def hold(name: str, seconds: float, log: str) -> None:
    """Hold the devices that Ray gave this task; a device is known by its node and its index there."""
    context = ray.get_runtime_context()
    devices = [f"{context.get_node_id()}:{index}" for index in context.get_accelerator_ids()["GPU"]]
    _write(log, "begin", name, devices)
    time.sleep(seconds)
    _write(log, "end", name, devices)


def _write(log: str, event: str, name: str, devices: list[str]) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, "name": name, "devices": devices, "at": time.monotonic()}) + "\n")


def asking(params: Params, devices: int) -> Params:
    """Settings in which the step asks for so many devices."""
    requests = {WANTED.asset: DeviceRequest(devices=devices)}
    return params.model_copy(update={"compute": params.compute.model_copy(update={"requests": requests})})


def main(address: str, root: str, jobs: str, log: str) -> None:
    """Submit every job at once, and wait for all."""
    connect(address)
    params, asks = Workspace.at(Path(root)).params(), []
    for number, (devices, seconds) in enumerate(json.loads(Path(jobs).read_text())):
        name = f"step-{number:02d}"
        _write(log, "ask", name, [])
        task = ray.remote(max_calls=1)(hold).options(**task_options(asking(params, devices), WANTED))
        asks.append(task.remote(name, seconds, log))
    ray.get(asks)


if __name__ == "__main__":
    main(*sys.argv[1:])
