"""Resumption and full disks, counted: what comes to the same bytes after a stop and a kill, what a full disk leaves."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.params import Params
from orchestration.results import Bar, Figure
from tests.bench.demo_networks import gan_config, gan_weights
from tests.orchestration.full_disk import CASES, run_cases
from tests.training import resumable
from tests.training.resumable import TRAININGS, AtCall, never, payload
from training.checkpoints import CheckpointFolder
from training.gan_module import GanModule
from training.interruption import Interrupted

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
CALL = 3  # the question whether to stop, at which each is stopped, and killed
TIMES = 5


def killed(folder: Path, name: str) -> None:
    """Begin a training in a process that is killed in the middle."""
    command = [sys.executable, resumable.__file__, str(folder), f"{name}:{CALL}"]
    subprocess.run(command, check=True, capture_output=True)


def stopped(folder: Path, name: str) -> None:
    """Begin a training that SIGTERM stops."""
    try:
        TRAININGS[name](folder / name, AtCall(CALL - 1, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    except Interrupted:
        return
    raise AssertionError(f"{name} ended before it was stopped")


def resumes(root: Path, name: str, begin: Callable[[Path, str], None]) -> bool:
    """Whether a training that was begun and cut off comes to the bytes of one that was not."""
    begin(root / begin.__name__, name)
    TRAININGS[name](root / begin.__name__ / name, never)
    return payload(root / begin.__name__ / name) == payload(root / "whole" / name)


def test_training_assets_resume_bit_for_bit(tmp_path: Path, platform_measured: Callable[..., None]) -> None:
    for name, train in TRAININGS.items():
        train(tmp_path / "whole" / name, never)
    good = [name for name in TRAININGS if resumes(tmp_path, name, stopped) and resumes(tmp_path, name, killed)]
    note = (
        f"of {len(TRAININGS)} ({', '.join(TRAININGS)}); each stopped by SIGTERM, and killed by -9; CPU, tiny networks"
    )
    bar = Bar(at_least=len(TRAININGS))
    platform_measured(Figure("training assets that resume bit for bit", len(good), "assets", bar=bar, note=note))


def test_full_disks_are_borne(tmp_path: Path, platform_measured: Callable[..., None]) -> None:
    name, bar = "disk-full cases handled", Bar(at_least=len(CASES))
    found = run_cases(tmp_path / "disk", list(CASES))
    if found is None:
        platform_measured(Figure(name, None, "cases", bar=bar, note="no tmpfs can be mounted on this machine"))
        return
    note = (
        f"of {len(CASES)} on a small tmpfs: a clear error, what stood intact, on again with room ({', '.join(CASES)})"
    )
    held = sum(not wrong for wrong in found.values())
    platform_measured(Figure(name, held, "cases", bar=bar, note=note))


def test_checkpoint_of_the_demo_is_quickly_written(
    tmp_path: Path, demo_params: Params, platform_measured: Callable[..., None]
) -> None:
    config = gan_config(demo_params)
    module = GanModule(config, gan_weights(config), freeze_mapping=False)
    folder, write_s, read_s = CheckpointFolder(tmp_path, 0.0, "bench"), [], []
    for iteration in range(1, TIMES + 1):
        began = time.perf_counter()
        folder.write(iteration, module.true_state())
        write_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert folder.latest() is not None
        read_s.append(time.perf_counter() - began)
    size_mb = next(tmp_path.iterdir()).stat().st_size / 1e6
    note = f"{size_mb:.1f} MB of the demo's original network, flushed to the disk, sha256 included; median of {TIMES}"
    platform_measured(
        Figure("time to write a checkpoint", statistics.median(write_s) * 1000, "ms", note=note),
        Figure("time to read and check a checkpoint", statistics.median(read_s) * 1000, "ms", note=note),
    )
