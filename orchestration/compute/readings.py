"""What this process tree, its host and its GPUs say of themselves at one moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

MB = 1e6


@dataclass(frozen=True)
class TreeReading:
    """A process and all its children: CPU seconds since they began, and resident memory in MB.

    Pages that processes share are counted in each of them.
    """

    cpu_s: float
    memory_mb: float


@dataclass(frozen=True)
class GpuReading:
    """One GPU by its index in `CUDA_VISIBLE_DEVICES`'s terms: share of time busy, memory held, in MB and as a share."""

    index: int
    busy: float
    memory_mb: float
    memory_share: float


def read_tree(process: psutil.Process) -> TreeReading:
    """`process` and its descendants; those that end meanwhile are left out, their CPU time is in their parent's."""
    cpu_s = memory_mb = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            times, memory = one.cpu_times(), one.memory_info().rss / MB
            cpu_s += times.user + times.system + times.children_user + times.children_system
            memory_mb += memory
    return TreeReading(cpu_s, memory_mb)


def read_host() -> Mapping[str, float]:
    """The whole machine under the names that MLflow gives its own system metrics, CPU since the last reading."""
    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / MB,
        "system_memory_usage_percentage": 100 * memory.used / memory.total,
    }


def forget_own_peak() -> None:
    """Let the system remember this process's peak memory from now on; where it will not, it stays its whole life's."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def own_peak_mb() -> float:
    """The most memory that this process held since its peak was forgotten, if ever, in MB; 0 except on Linux."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / MB
    return 0.0


def open_gpus(count: int) -> Callable[[], list[GpuReading]]:
    """A function that reads the first `count` visible GPUs; it reads none where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [_handle(pynvml, name) for name in visible_gpus(pynvml.nvmlDeviceGetCount())[:count]]
    except Exception:
        return list
    return lambda: [_read_gpu(pynvml, index, handle) for index, handle in enumerate(handles)]


def visible_gpus(found: int) -> list[str]:
    """The names of the GPUs that CUDA shows this process, of `found` in the machine: indices, or UUIDs."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(i) for i in range(found)] if named is None else [one.strip() for one in named.split(",") if one.strip()]


def _handle(pynvml: Any, name: str) -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else pynvml.nvmlDeviceGetHandleByUUID(name)


def _read_gpu(pynvml: Any, index: int, handle: Any) -> GpuReading:
    """The whole device: the lease makes it this step's own, the other ranks of a DDP training included."""
    memory, busy = pynvml.nvmlDeviceGetMemoryInfo(handle), 0.0
    with suppress(pynvml.NVMLError):  # a MIG slice does not say how busy it is
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return GpuReading(index, busy, memory.used / MB, memory.used / memory.total)
