"""Dagster's pool `gpu`: which device steps are let in, which is each of them once. When it computes, its lease decides.

A step must not wait at the pool. Dagster 1.13 asks there without a pause (dagster-io/dagster#20367), which takes a
whole core from the steps that compute, once for each run that waits; there priorities do not count; and `editloom
devices` cannot show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.graph import expand, node
from orchestration.params import Params

if TYPE_CHECKING:
    from dagster import DagsterInstance

POOL = "gpu"
MOST_SLOTS = 1000
"""What Dagster allows."""


def admit(instance: DagsterInstance, params: Params) -> int:
    """Give the pool as many slots as there are device steps, where it has another number; returns how many."""
    wanted = min(sum(node(one.asset).device for one in expand(list(params.attributes))), MOST_SLOTS)
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return wanted
    if not any(pool.name == POOL and pool.limit == wanted for pool in storage.get_pool_limits()):
        storage.set_concurrency_slots(POOL, wanted)
    return wanted
