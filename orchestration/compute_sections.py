"""The section `compute` of `params.yaml`: what the bulk steps run on, and what each asset asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from orchestration.fields import Section, Slug, choice, number


class DeviceRequest(Section):
    """What one bulk step asks for; nothing of it is granted before all of it can be."""

    devices: int = number(1, "devices", 1, 1024, "Devices that the step trains over at once; more than one is DDP.")
    memory_gb: float | None = number(None, "GB", 0.5, 4096.0, "Memory that it may need; compute.memory_gb if not set.")
    priority: int = number(0, "-", -1000, 1000, "Of steps that wait, those of the highest priority come first.")


class Ray(Section):
    """Bulk steps on a Ray cluster, by `editloom run --executor ray`."""

    store: str | None = choice(
        None, "DVC remote, reached by every node, through which steps get inputs and send results; unset: the default."
    )
    device_class: str | None = choice(
        None, "Class of the nodes' devices, as their refusal names it, where this machine is of another one."
    )
    retries: int = number(3, "nodes", 0, 100, "How many nodes or processes may die under one attempt at a bulk step.")
    wait_s: float = number(60.0, "s", 0.0, 86_400, "Wait for a node that is large enough, where there is none.")


class Compute(Section):
    """What the bulk steps run on. Not part of an asset's params: the device class stands in the ledger."""

    accelerator: Literal["auto", "cpu", "cuda"] = choice("auto", "Kind of device; auto takes CUDA where there is one.")
    devices: int = number(2, "devices", 1, 1024, "Bulk steps at once: GPUs, or on a CPU groups of threads.")
    threads_per_device: int = number(1, "threads", 1, 1024, "CPU threads of one bulk step.")
    memory_gb: float = number(4.0, "GB", 0.5, 1024.0, "Memory that one bulk step may need.")
    processes: int = number(2, "processes", 1, 1024, "Processes that render, decode and align.")
    portable: bool = choice(
        False, "Hold bulk steps on a CPU to what every AVX2 processor does alike; bf16 training is then 5 times slower."
    )
    retries: int = number(3, "attempts", 0, 100, "Further attempts at a bulk step that failed, or whose process died.")
    retry_delay_s: float = number(
        2.0, "s", 0.0, 3600.0, "Wait before the first further attempt; twice as long each time."
    )
    requests: Mapping[Slug, DeviceRequest] = Field(
        default_factory=dict, description="Asset -> what it asks for, where that is not one device at priority 0."
    )
    ray: Ray = Field(default_factory=Ray, description="Read when bulk steps run on a Ray cluster.")
