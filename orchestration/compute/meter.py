"""The meter of a step: a thread that reads, about once a second, what the step uses, and never fails it.

A reading waits at least a hundred times as long as the one before it took, so that reading costs less than 1 %.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from types import TracebackType

import psutil

from orchestration.compute.readings import (
    GpuReading,
    TreeReading,
    forget_own_peak,
    open_gpus,
    own_peak_mb,
    read_host,
    read_tree,
)
from orchestration.compute.requests import request_of
from orchestration.compute.usage import Usage, read_usage, write_usage
from orchestration.graph import node
from orchestration.params import Params
from training.progress import Progress, ProgressFn

SAMPLE_EVERY_S = 1.0
LOG_EVERY_S = 10.0
WRITE_EVERY_S = 5.0
MAX_SHARE = 0.01
SHORTEST_COUNT_S = 0.1
PREFIX = "system/"
"""MLflow shows the metrics that begin with it under "System metrics"."""
COUNTED = {"images": "images", "photos": "images", "pairs": "pairs"}
"""Units of progress that are counted, and what they count."""
LOGGER = logging.getLogger(__name__)

LogFn = Callable[[Mapping[str, float], int, int], None]
"""Told of metrics, the second of the making that they belong to, and the time (ms since 1970)."""


@dataclass(frozen=True)
class Holding:
    """What a step holds while it is metered: so many devices, GPUs or not, and so many CPU threads."""

    devices: int
    gpus: bool
    threads: int


def holding_of(params: Params, asset: str, accelerator: str) -> Holding:
    """What a step of `asset` holds: its devices with their threads, or else the processes that light steps may use."""
    compute = params.compute
    if not node(asset).device:
        return Holding(0, False, compute.processes)
    devices = request_of(params, asset).devices
    return Holding(devices, accelerator == "cuda", devices * compute.threads_per_device)


class Counter:
    """Images that progress counts, and the seconds it took: what a training did before its resumption is not in it."""

    def __init__(self) -> None:
        self.count, self.seconds, self.unit, self.rate = 0, 0.0, "", 0.0
        self._last: tuple[float, Progress] | None = None

    def seen(self, progress: Progress) -> None:
        """Take one progress report."""
        if progress.unit not in COUNTED:
            return
        now, self.unit, self.rate = time.monotonic(), COUNTED[progress.unit], progress.rate
        at, before = self._last or (now, progress)
        if before.step < progress.step and before.total == progress.total:
            self.count += progress.step - before.step
            self.seconds += now - at
        self._last = (now, progress)

    @property
    def sums(self) -> tuple[int, float, str]:
        """Count, its seconds, its unit. A training with a single report counts for a second of the rate it told."""
        if self.count and self.seconds >= SHORTEST_COUNT_S:
            return self.count, self.seconds, self.unit
        return (round(self.rate), 1.0, self.unit) if self.rate >= 1 else (0, 0.0, "")


class Meter:
    """Measures while its `with` lasts, or until `stop`; what earlier attempts in `workdir` used is added.

    `log` is told of the host, the step's processes and its GPUs every ten seconds, and at the end.
    """

    def __init__(self, workdir: Path, holding: Holding, log: LogFn | None = None) -> None:
        self.workdir, self.holding, self.log = workdir, holding, log
        self.counter = Counter()
        self._process, self._ended = psutil.Process(), threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="meter", daemon=True)
        self._window: list[Mapping[str, float]] = []
        self._now = Usage(attempts=1)

    def __enter__(self) -> Meter:
        forget_own_peak()
        self._earlier, self._own_peak = read_usage(self.workdir), own_peak_mb()
        self._read_at = self._logged_at = self._written_at = time.monotonic()
        self._gpus: Callable[[], list[GpuReading]] = open_gpus(self.holding.devices) if self.holding.gpus else list
        self._tree = TreeReading(0.0, 0.0)
        if self._holds(self._begin):
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if kind is not None:
            write_usage(self.workdir, self.usage)

    def through(self, report: ProgressFn) -> ProgressFn:
        """`report`, with images counted on the way."""

        def counted(progress: Progress) -> None:
            self.counter.seen(progress)
            report(progress)

        return counted

    def stop(self) -> Usage:
        """Read and log a last time, end the thread, and return what all attempts used; called again it only returns."""
        if not self._ended.is_set():
            self._ended.set()
            if self._thread.ident is not None:
                self._thread.join()
            self._holds(self._read)
            self._holds(self._log)
        return self.usage

    @property
    def usage(self) -> Usage:
        """What all attempts used up to the last reading."""
        count, seconds, unit = self.counter.sums
        return self._earlier.plus(replace(self._now, counted=count, counted_s=seconds, unit=unit))

    def _begin(self) -> None:
        self._tree = read_tree(self._process)
        read_host()  # the next reading of the host's CPU is since this one

    def _read_on(self) -> None:
        pause = SAMPLE_EVERY_S
        while not self._ended.wait(pause):
            began = time.thread_time()
            if not self._holds(self._sample):
                return
            pause = max(SAMPLE_EVERY_S, (time.thread_time() - began) / MAX_SHARE)

    def _sample(self) -> None:
        self._read()
        now = time.monotonic()
        if now - self._written_at >= WRITE_EVERY_S:
            self._written_at = now
            write_usage(self.workdir, self.usage)
        if now - self._logged_at >= LOG_EVERY_S:
            self._log()

    def _read(self) -> None:
        """Add the time since the last reading, and what was used in it."""
        now, before = time.monotonic(), self._now
        passed, self._read_at = now - self._read_at, now
        self._now = before = replace(
            before,
            seconds=before.seconds + passed,
            device_seconds=before.device_seconds + passed * self.holding.devices,
        )
        tree, gpus = read_tree(self._process), self._gpus()
        cpu_s, self._tree = max(0.0, tree.cpu_s - self._tree.cpu_s), tree
        own = own_peak_mb()
        self._now = replace(
            before,
            held_s=before.held_s + passed * (len(gpus) or self.holding.threads),
            busy_s=before.busy_s + (sum(one.busy for one in gpus) * passed if gpus else cpu_s),
            # The system remembers this process's own peak since the step began: none between readings is missed.
            peak_memory_mb=max(before.peak_memory_mb, tree.memory_mb, own if own > self._own_peak else 0.0),
            peak_device_memory_mb=max(before.peak_device_memory_mb, sum(one.memory_mb for one in gpus)),
        )
        own_metrics = {
            "step_cpu_utilization_percentage": 100 * cpu_s / max(passed, 1e-3),
            "step_memory_usage_megabytes": tree.memory_mb,
        }
        self._window.append({**read_host(), **own_metrics, **_gpu_metrics(gpus)})

    def _log(self) -> None:
        """Tell the means since the last time, under the names of MLflow's system metrics."""
        window, self._window, self._logged_at = self._window, [], time.monotonic()
        if self.log is not None and window:
            means = {PREFIX + name: round(fmean(one[name] for one in window), 2) for name in window[-1]}
            self.log(means, round(self.usage.seconds), int(time.time() * 1000))

    def _holds(self, part: Callable[[], None]) -> bool:
        """Whether `part` did its work; what it could not read is said in the log, and fails nobody."""
        try:
            part()
        except Exception as error:
            LOGGER.warning("what the step uses cannot be read: %s: %s", type(error).__name__, error)
            return False
        return True


def _gpu_metrics(gpus: list[GpuReading]) -> Mapping[str, float]:
    found = {}
    for one in gpus:
        found[f"gpu_{one.index}_utilization_percentage"] = 100 * one.busy
        found[f"gpu_{one.index}_memory_usage_megabytes"] = one.memory_mb
        found[f"gpu_{one.index}_memory_usage_percentage"] = 100 * one.memory_share
    return found
