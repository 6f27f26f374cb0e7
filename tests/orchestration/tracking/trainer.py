"""What a training tells its run, and how long it waits for that; as a program, it is killed when it has told all."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from orchestration.graph import AssetId
from orchestration.tracking.spooled_run import SpooledRun, begin_run
from orchestration.workspace import Workspace

ASSET = AssetId("feature_network", "beard")
IMAGE_EVERY = 40
Told = dict[int, tuple[int, float]]
"""Step → (time in ms since 1970, value) of the metric `loss`."""


def train(run: SpooledRun, steps: Iterator[int], told: Told) -> float:
    """Tell every step's loss, and a picture now and then; returns the longest wait in seconds."""
    longest_s = 0.0
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for step in steps:
        told[step] = (time.time_ns() // 1_000_000, 1.0 / (1 + step))
        began = time.perf_counter()
        run.metrics({"loss": told[step][1]}, step, at_ms=told[step][0])
        if step % IMAGE_EVERY == 0:
            run.image("faces", picture, step)
        longest_s = max(longest_s, time.perf_counter() - began)
    return longest_s


def while_it(holds: Callable[[], bool], first: int, pause_s: float) -> Iterator[int]:
    """Steps from `first` on, one every `pause_s`, for as long as something holds."""
    step = first
    while holds():
        yield step
        step += 1
        time.sleep(pause_s)


def main() -> None:
    """`trainer ROOT DAGSTER_RUN COUNT`: tell that many steps, then die as by `kill -9`."""
    ws = Workspace.at(Path(sys.argv[1]))
    run = begin_run(ws, sys.argv[2], ASSET, "killed")
    run.params({"feature_network": {"kimg": 1}})
    train(run, iter(range(int(sys.argv[3]))), {})
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
