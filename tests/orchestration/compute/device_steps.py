"""Steps of one Dagster run that want devices: `DEVICE_STEPS=FILE python device_steps.py WORKSPACE`.

FILE is JSON: `log`, and `steps` as [devices, seconds]. Each step is a process of its own (Dagster's multiprocess
executor), stands in the pool `gpu`, leases, and writes into the log itself when it held which devices.
"""

import json
import os
import sys
import time
from pathlib import Path

import dagster as dg
from holder import write  # beside this script

from orchestration.compute.admission import POOL
from orchestration.compute.leases import lease_devices
from orchestration.compute_sections import DeviceRequest
from orchestration.workspace import VARIABLE, Workspace

WANTED = json.loads(Path(os.environ["DEVICE_STEPS"]).read_text())


def _op(name: str, devices: int, seconds: float) -> dg.OpDefinition:
    @dg.op(name=name, pool=POOL)
    def step(context: dg.OpExecutionContext) -> None:
        request = DeviceRequest(devices=devices, memory_gb=0.5)
        write(WANTED["log"], name, "ask", ())
        with lease_devices(Workspace.current(), request, name, context.run_id) as lease:
            write(WANTED["log"], name, "begin", lease.indices)
            time.sleep(seconds)
            write(WANTED["log"], name, "end", lease.indices)

    return step


@dg.job(executor_def=dg.multiprocess_executor.configured({"max_concurrent": len(WANTED["steps"])}))
def device_steps() -> None:
    for number, (devices, seconds) in enumerate(WANTED["steps"]):
        _op(f"step_{number:02d}", devices, seconds)()


def main() -> None:
    os.environ[VARIABLE] = sys.argv[1]
    with Workspace.at(Path(sys.argv[1])).dagster_instance() as instance:
        done = dg.execute_job(dg.reconstructable(device_steps), instance)
    sys.exit(0 if done.success else 1)


if __name__ == "__main__":
    main()
