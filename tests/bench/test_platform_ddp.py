"""One training over two processes: how far it is from the one of a single process, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestration.params import Params
from orchestration.results import Bar, Figure
from tests.bench.demo_networks import gan_config
from tests.training.shared_training import (
    EDITOR,
    GAN,
    ITERATIONS,
    largest_difference,
    last_state,
    training_images,
    training_pairs,
)
from training.editor.train import train_editor
from training.gan_training import train_gan
from training.judges import load_judges
from training.judges.shipped import shipped_judges_dir
from training.progress import Progress

WARM_UP, TIMED = 4, 16  # an interval of the lazy penalty
BAR = Bar(at_most=1e-9)
NOTE = (
    f"{ITERATIONS} iterations in float64, gloo; parameters, averages, optimizers, losses; relative to the largest value"
)


@pytest.mark.bench
def test_networks_over_two_processes_are_those_of_one(
    platform_measured: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.gan_callbacks.REPORT_EVERY_S", 0.0)
    monkeypatch.setattr("training.editor.train.REPORT_EVERY_S", 0.0)
    images, pairs = training_images(), training_pairs(tmp_path / "pairs")
    judges = load_judges(shipped_judges_dir())

    def gan(folder: Path, devices: int, seen: list[Progress]) -> None:
        train_gan(GAN, images, folder, devices=devices, progress=seen.append)

    def editor(folder: Path, devices: int, seen: list[Progress]) -> None:
        train_editor(EDITOR, pairs, judges, folder / "out", folder, seen.append, devices=devices)

    differences = {name: _difference(tmp_path / name, train) for name, train in (("GAN", gan), ("editor", editor))}
    platform_measured(
        *(
            Figure(f"DDP: {name}, 2 processes beside 1", value, "", bar=BAR, note=NOTE)
            for name, value in differences.items()
        )
    )


@pytest.mark.bench
def test_images_a_second_over_one_and_two_processes(
    platform_measured: Callable[..., None], demo_params: Params, tmp_path: Path
) -> None:
    """Two processes of one thread each, beside one of one thread: only reported."""
    rates = {devices: _rate(demo_params, tmp_path / f"{devices}", devices) for devices in (1, 2)}
    batch = demo_params.original_network.batch_size
    note = f"demo's original network, batch {batch}, a thread each; {rates[2] / rates[1]:.2f} times one process's rate"
    platform_measured(
        *(
            Figure(f"DDP: training over {n} process{'es' * (n > 1)}", rate, "images/s", note=note)
            for n, rate in rates.items()
        )
    )


def _difference(folder: Path, train: Callable[[Path, int, list[Progress]], None]) -> float:
    """The largest difference of two trainings' last states and of their losses in every iteration."""
    states: list[dict[str, Tensor]] = []
    for devices in (1, 2):
        seen: list[Progress] = []
        train(folder / f"{devices}", devices, seen)
        losses = {f"loss/{name}": values for name, values in _losses(seen).items()}
        states.append(last_state(folder / f"{devices}") | losses)
    return largest_difference(*states)


def _losses(seen: list[Progress]) -> Mapping[str, Tensor]:
    """Each loss's value in every iteration that it was computed in."""
    names = seen[-1].metrics
    return {
        name: torch.tensor([s.metrics[name] for s in seen if name in s.metrics], dtype=torch.float64) for name in names
    }


def _rate(params: Params, folder: Path, devices: int) -> float:
    """Images a second, the start of the processes and the first iterations left out."""
    batch = params.original_network.batch_size
    changes: dict[str, Any] = {"kimg": (WARM_UP + TIMED) * batch / 1000, "snapshot_kimg": 1000.0, "threads": 1}
    config, size_px = gan_config(params, **changes), params.aligned_images.size_px
    images = np.random.default_rng(0).integers(0, 256, (256, size_px, size_px, 3), dtype=np.uint8)
    ends: list[float] = []

    def tick() -> bool:
        ends.append(time.perf_counter())
        return False

    train_gan(config, images, folder, stop=tick, devices=devices)
    return TIMED * batch / (ends[-1] - ends[WARM_UP - 1])
