"""A process that holds devices: `python holder.py WORKSPACE NAME DEVICES PRIORITY MEMORY_GB LOG TIMES SECONDS`.

It leases as often as TIMES says, for SECONDS each, and writes each begin and end into LOG, which nobody else reads
while it runs. SECONDS of 0: it holds until its input closes. What it holds it also says on its output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from orchestration.compute.leases import Lease, lease_devices
from orchestration.compute_sections import DeviceRequest
from orchestration.workspace import Workspace


def main() -> None:
    root, name, devices, priority, memory_gb, log, times, seconds = sys.argv[1:]
    ws = Workspace.at(Path(root))
    request = DeviceRequest(devices=int(devices), priority=int(priority), memory_gb=float(memory_gb))
    for _ in range(int(times)):
        write(log, name, "ask", ())
        with lease_devices(ws, request, name, "test") as lease:
            write(log, name, "begin", lease.indices)
            say(lease)
            time.sleep(float(seconds)) if float(seconds) else sys.stdin.read()
            write(log, name, "end", lease.indices)


def write(log: str, name: str, event: str, indices: tuple[int, ...]) -> None:
    """One short line, appended at once: lines of several processes never mix."""
    line = json.dumps({"name": name, "event": event, "at": time.monotonic(), "devices": indices}) + "\n"
    with open(log, "ab", buffering=0) as file:
        file.write(line.encode())


def say(lease: Lease) -> None:
    known = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "EDITLOOM_VISIBLE_DEVICES")}
    told = {"indices": lease.indices, "accelerator": lease.accelerator, "cards": lease.cards, **known}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
