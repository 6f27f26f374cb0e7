"""Device leases on one host: a file lock per device, held by the process that computes.

The operating system frees a lock when its holder dies, however it dies, so that no slot stays claimed after a kill.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.25


@dataclass(frozen=True)
class Lease:
    """The device a step holds: its index, and the accelerator to name to torch."""

    index: int
    accelerator: str


def accelerator_count() -> int:
    """How many CUDA devices this host shows, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([d for d in visible.split(",") if d.strip() not in {"", "-1"}])
    return len([p for p in Path("/dev").glob("nvidia[0-9]*")])


@contextmanager
def lease_device(folder: Path, count: int) -> Iterator[Lease]:
    """Hold one of `count` devices; waits until one is free.

    A process keeps to the device it had before: CUDA does not let it change once it has begun.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preferred = [int(os.environ["EDITLOOM_DEVICE"])] if "EDITLOOM_DEVICE" in os.environ else list(range(count))
    lock, index = _wait_for_one(folder, preferred)
    try:
        yield Lease(index, _claim_accelerator(index))
    finally:
        lock.release()


def _wait_for_one(folder: Path, candidates: list[int]) -> tuple[FileLock, int]:
    while True:
        for index in candidates:
            lock = FileLock(folder / f"device-{index}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, index
        time.sleep(POLL_S)


def _claim_accelerator(index: int) -> str:
    if accelerator_count() == 0:
        return "cpu"
    if "EDITLOOM_DEVICE" not in os.environ:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = visible.split(",") if visible else [str(i) for i in range(accelerator_count())]
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
        os.environ["EDITLOOM_DEVICE"] = str(index)
    return "cuda"
