"""Steps that take devices for a time, drawn from a seed, and how long a list schedule needs for them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A step that holds so many devices for so many seconds."""

    devices: int
    seconds: float


def draw_jobs(count: int, seed: int, shortest_s: float, longest_s: float) -> list[Job]:
    """Jobs of evenly spread durations; one in three takes two devices, the others one."""
    draw = random.Random(seed)
    return [Job(2 if draw.random() < 1 / 3 else 1, draw.uniform(shortest_s, longest_s)) for _ in range(count)]


def makespan_s(jobs: Sequence[Job], devices: int) -> float:
    """Seconds that a list schedule needs: whenever devices come free, the first jobs of the list that fit begin.

    Graham, "Bounds on multiprocessing timing anomalies" (1969), for jobs that may take several machines.
    Raises ValueError for a job that needs more devices than there are.
    """
    if any(job.devices > devices for job in jobs):
        raise ValueError(f"a job needs more than {devices} devices")
    waiting, running, now, free = list(jobs), list[tuple[float, int]](), 0.0, devices
    while waiting or running:
        for job in list(waiting):
            if job.devices <= free:
                waiting.remove(job)
                running.append((now + job.seconds, job.devices))
                free -= job.devices
        running.sort()
        now, back = running.pop(0)
        free += back
    return now
