"""What devices this machine has: real ones, or as many virtual ones as `compute.devices` says where it has none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestration.params import Params

CARDS_VARIABLE = "EDITLOOM_CARDS"
"""What CUDA_VISIBLE_DEVICES said before a lease narrowed it."""
CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"
MEMORY_LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Device:
    """One device that a step can hold. `card` is CUDA's name of it, empty for a virtual one."""

    index: int
    name: str
    card: str = ""
    memory_gb: float | None = None


@dataclass(frozen=True)
class Inventory:
    """The devices of this machine; `memory_gb` is what steps on virtual ones share, None where cards have their own."""

    accelerator: str
    devices: tuple[Device, ...]
    memory_gb: float | None


def accelerator_count() -> int:
    """How many CUDA devices this host shows, without importing torch."""
    return len(cards())


def cards() -> tuple[str, ...]:
    """CUDA's names of the devices that this host shows, also those that a lease hides from this process."""
    visible = os.environ.get(CARDS_VARIABLE, os.environ.get(CUDA_VARIABLE))
    if visible is not None:
        return tuple(card.strip() for card in visible.split(",") if card.strip() not in {"", "-1"})
    return tuple(str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*")))))


def device_count(params: Params) -> int:
    """How many devices steps may hold at once: none where params.yaml asks for CUDA and there is no card."""
    real = accelerator_count() if params.compute.accelerator != "cpu" else 0
    return min(real, params.compute.devices) if real or params.compute.accelerator == "cuda" else params.compute.devices


def inventory(params: Params) -> Inventory:
    """The devices that these params let steps hold; a card has one holder, so that there are never more than cards."""
    compute, count = params.compute, device_count(params)
    if compute.accelerator == "cpu" or (compute.accelerator == "auto" and not accelerator_count()):
        threads = f"virtual, {compute.threads_per_device} CPU thread{'s' if compute.threads_per_device > 1 else ''}"
        return Inventory("cpu", tuple(Device(index, threads) for index in range(count)), host_memory_gb())
    return Inventory("cuda", tuple(_real(index, card) for index, card in enumerate(cards()[:count])), None)


def host_memory_gb() -> float:
    """Memory of this machine in GB (1e9 bytes), or of the container whose limit is lower."""
    physical = float(psutil.virtual_memory().total)
    try:
        limit = float(MEMORY_LIMIT_FILE.read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        limit = physical
    return min(physical, limit) / 1e9


def _real(index: int, card: str) -> Device:
    """A card with the name and memory that its driver gives; without a driver that answers, its number alone."""
    import pynvml

    try:
        pynvml.nvmlInit()
        known = card.startswith(("GPU-", "MIG-"))
        found = pynvml.nvmlDeviceGetHandleByUUID(card) if known else pynvml.nvmlDeviceGetHandleByIndex(int(card))
        memory_gb = pynvml.nvmlDeviceGetMemoryInfo(found).total / 1e9
        return Device(index, str(pynvml.nvmlDeviceGetName(found)), card, memory_gb)
    except (pynvml.NVMLError, ValueError):
        return Device(index, f"CUDA device {card}", card)
