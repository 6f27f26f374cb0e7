"""Where an asset's function runs: here on a leased device, or on a Ray cluster; and what it leaves when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace

from orchestration import arithmetic
from orchestration.attempt import Attempt, workdir_of
from orchestration.compute.leases import NO_DEVICE, Lease, lease_devices
from orchestration.compute.processes import registrations
from orchestration.compute.requests import request_of
from orchestration.graph import GRAPH, AssetId
from orchestration.params import Params
from orchestration.plan import wanted as wanted_of
from orchestration.ray_cluster.options import check_here, runs_on_ray
from orchestration.step import CheckOutcome, Outcome, Step
from orchestration.store.records import Wanted
from orchestration.store.staging import remove
from orchestration.worker import stop_requested
from orchestration.workspace import Workspace

Build = Callable[[Step], Outcome]
BUILDS: dict[str, Build] = {}
"""Asset -> the function that builds its payload, wherever it runs."""
FIRST: dict[str, Callable[[Step], CheckOutcome]] = {}
"""Asset -> the check of its lineage that must hold before anything is built; it reads the ledger, so it runs here."""


def lease_for(attempt: Attempt, stack: ExitStack) -> Lease:
    """Hold a device when the asset needs one here, and pin the threads that belong to it; on Ray, Ray gives them."""
    if not GRAPH[attempt.id.asset].device or runs_on_ray(attempt.id.asset):
        return NO_DEVICE
    arithmetic.hold(attempt.params)
    request, who = request_of(attempt.params, attempt.id.asset), str(attempt.id)
    asked = lease_devices(
        attempt.ws, request, who, attempt.dagster_run, should_stop=stop_requested, on_wait=attempt.status.wait
    )
    lease = stack.enter_context(asked)
    import torch

    torch.set_num_threads(attempt.params.compute.threads_per_device)
    return lease


def built(attempt: Attempt, step: Step) -> Outcome:
    """What the asset's function made of `step`, here or on the cluster; it is not asked where the first check fails."""
    first = FIRST[attempt.id.asset](step) if attempt.id.asset in FIRST else None
    if first is not None and not first.passed:
        return Outcome(checks=(first,))
    made = _build_anywhere(attempt, step)
    return replace(made, checks=(*made.checks, first)) if first is not None else made


def _build_anywhere(attempt: Attempt, step: Step) -> Outcome:
    if not runs_on_ray(attempt.id.asset):
        check_here(attempt.params, attempt.wanted)
        return BUILDS[attempt.id.asset](step)
    from orchestration.ray_cluster.head import build_remotely

    return build_remotely(attempt, step)


def forget_work(ws: Workspace, params: Params, wanted: Wanted) -> None:
    """Drop the checkpoints of what is published."""
    workdir = workdir_of(ws, wanted)
    if not workdir.exists():
        return
    if runs_on_ray(wanted.id.asset):
        from orchestration.ray_cluster.head import forget

        forget(ws, params, wanted.id, workdir.name)
    remove(workdir)


def forget_leftovers(ws: Workspace, params: Params, standing: Iterable[AssetId]) -> None:
    """Drop the checkpoints of what stands published, where who published it died before that; a living step's stay."""
    left = [asset_id for asset_id in standing if any(ws.workdir(asset_id.asset, asset_id.partition).glob("*"))]
    if not left:
        return
    busy = {one.what for one in registrations(ws) if one.alive}
    for asset_id in left:
        if str(asset_id) not in busy:
            forget_work(ws, params, wanted_of(ws, params, asset_id))
