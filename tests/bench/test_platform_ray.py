"""A Ray cluster: how well it fills virtual GPUs with one- and two-device steps, and that none has two holders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.results import Bar, Figure
from orchestration.workspace import Workspace
from tests.bench.list_schedule import Job, draw_jobs, makespan_s
from tests.orchestration.compute.device_log import most_holders
from tests.orchestration.ray_cluster.held import held_on
from tests.orchestration.ray_cluster.local_cluster import LocalCluster

DEVICES = 4
STEPS, SEED, SHORTEST_S, LONGEST_S = 16, 6, 8.0, 24.0


@pytest.mark.bench
def test_cluster_fills_its_devices_as_a_list_schedule_does(
    workspace: Workspace, tmp_path: Path, platform_measured: Callable[..., None]
) -> None:
    jobs = [(job.devices, job.seconds) for job in draw_jobs(STEPS, SEED, SHORTEST_S, LONGEST_S)]
    cluster = LocalCluster()
    try:
        cluster.start()
        cluster.add("node", DEVICES)
        held = held_on(cluster, workspace, jobs, tmp_path)
    finally:
        cluster.stop()
    assert sorted(len(one.devices) for one in held) == sorted(devices for devices, _ in jobs)
    took_s = max(one.end for one in held) - min(one.begin for one in held)
    # As long as each was really held: the steps' own clocks, in the order in which they were drawn.
    ideal_s = makespan_s([Job(len(h.devices), h.seconds) for h in sorted(held, key=lambda h: h.name)], DEVICES)
    what = f"{len(held)} tasks, {sum(len(h.devices) == 2 for h in held)} of them over two GPUs, of 8 to 24 s"
    note = f"{what}; a real Ray head with a token; {took_s:.0f} s, a list schedule {ideal_s:.0f} s"
    platform_measured(
        Figure("device time of a list schedule's, Ray", ideal_s / took_s, "share", bar=Bar(at_least=0.9), note=note),
        Figure("holders of a device at once, Ray", most_holders(held), "steps", bar=Bar(at_most=1), note=what),
    )
