"""How fast networks train and pairs are made, with the demo's networks and batch sizes; only reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import UserError
from orchestration.params import Params
from orchestration.results import Figure, Record
from tests.bench.demo_networks import gan_config, two_generators
from training.fusion_schedule import FusionConfig, LayerSpec
from training.gan_training import train_gan
from training.judges import JudgeSet, load_judges
from training.judges.shipped import shipped_judges_dir
from training.pairs import PairsConfig, make_pairs

# Whole intervals of the lazy penalty, so that its share of the time is the true one; the first interval warms up.
WARM_UP, TIMED = 16, 64
PAIRS = 512


@pytest.mark.bench
@pytest.mark.parametrize("threads", [1, 2])
def test_images_a_second_of_the_original_network(
    measured: Callable[..., Record], demo_params: Params, tmp_path: Path, threads: int
) -> None:
    batch = demo_params.original_network.batch_size
    changes = {"kimg": (WARM_UP + TIMED) * batch / 1000, "snapshot_kimg": 1000.0, "threads": threads}
    config, size_px = gan_config(demo_params, **changes), demo_params.aligned_images.size_px
    images = np.random.default_rng(0).integers(0, 256, (256, size_px, size_px, 3), dtype=np.uint8)
    ends: list[float] = []

    def tick() -> bool:
        ends.append(time.perf_counter())
        return False

    result = train_gan(config, images, tmp_path, stop=tick)
    assert result.finished and len(ends) == WARM_UP + TIMED, "stopped by a signal on the way"
    rate = TIMED * config.batch_size / (ends[-1] - ends[WARM_UP - 1])
    name = f"training: original network, {size_px} px, {threads} thread{'s' * (threads > 1)}"
    measured(Figure(name, rate, "images/s", note=f"batch {config.batch_size}, {config.precision}"))


@pytest.mark.bench
def test_pairs_a_second(measured: Callable[..., Record], demo_params: Params, tmp_path: Path) -> None:
    """Untrained generators of the demo's shape, and filters that keep every candidate."""
    name = "edit pairs: candidates made and written, 1 thread"
    judges = _shipped_judges()
    if judges is None:
        measured(Figure(name, None, "pairs/s", note="the shipped judges are not installed"))
        pytest.skip("the shipped judges are not installed")
    section = demo_params.edit_pairs
    shape = gan_config(demo_params).generator
    assert shape is not None
    original, feature = two_generators(shape)
    everything = {"min_probability": 0.0, "max_probability": 1.0, "max_change_outside": 1.0}
    everything |= {"min_mask_area": 0.0, "min_identity": -1.0, "count": PAIRS}
    layers = tuple(LayerSpec(**spec.model_dump()) for spec in section.fusion.smaller)
    fusion = FusionConfig(**section.fusion.model_dump(include={"input", "joint", "mask_layers"}), layers=layers)
    known = section.model_dump(exclude={"fusion"}) | everything
    config = PairsConfig(attribute="beard", fusion=fusion, **known)
    torch.set_num_threads(1)
    started = time.perf_counter()
    result = make_pairs(original, feature, judges, config, tmp_path / "out", tmp_path / "work")
    seconds = time.perf_counter() - started
    measured(Figure(name, result.candidates / seconds, "pairs/s", note=f"{result.candidates} candidates"))


def _shipped_judges() -> JudgeSet | None:
    try:
        return load_judges(shipped_judges_dir())
    except UserError:
        return None
