"""Dagster's pool `gpu`: how many device steps are let in at all. Which of them computes, the lease decides."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestration.compute.inventory import device_count
from orchestration.params import Params
from orchestration.ray_cluster.options import EXECUTOR_VARIABLE, RAY

if TYPE_CHECKING:
    from dagster import DagsterInstance

POOL = "gpu"
SLOTS_PER_DEVICE = 2
"""One step computes and one stands ready: Dagster asks for a slot every 1 to 15 s, and a process takes seconds to
start. With one slot a device stood idle so long between any two steps."""
SLOTS_ON_RAY = 256
"""There Ray itself lets steps wait for the devices of all its machines."""


def admit(instance: DagsterInstance, params: Params) -> int:
    """Give the pool as many slots as these params want, where it has another number; returns how many."""
    on_ray, storage = os.environ.get(EXECUTOR_VARIABLE) == RAY, instance.event_log_storage
    wanted = SLOTS_ON_RAY if on_ray else SLOTS_PER_DEVICE * max(device_count(params), 1)
    if not storage.supports_global_concurrency_limits:
        return wanted
    if not any(pool.name == POOL and pool.limit == wanted for pool in storage.get_pool_limits()):
        storage.set_concurrency_slots(POOL, wanted)
    return wanted
