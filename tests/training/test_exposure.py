"""The iterations that are computed for an image are those in which the training was shown it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from training.draws import image_order, iterations_of
from training.exposure import iterations_drawing
from training.gan_batches import GanBatch
from training.gan_config import GanTrainingConfig
from training.gan_module import GanModule
from training.gan_training import train_gan
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig

GENERATOR = GeneratorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8}, z_dim=8, w_dim=8, mapping_layers=2)
DISCRIMINATOR = DiscriminatorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8})


@pytest.mark.parametrize(("batch_size", "images"), [(4, 10), (3, 9), (16, 5), (7, 7), (2, 40)])
def test_computed_iterations_are_those_whose_batch_holds_the_image(batch_size: int, images: int) -> None:
    shown = [set(image_order(5, iteration, batch_size, images).tolist()) for iteration in range(30)]
    for index in range(images):
        for first, last in ((0, 30), (7, 19), (12, 13), (4, 4)):
            expected = [iteration for iteration in range(first, last) if index in shown[iteration]]
            assert iterations_drawing(5, batch_size, images, index, first, last).tolist() == expected


def test_real_training_was_shown_the_image_in_the_computed_iterations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every picture is of one grey that names it, so that a recording of what the training saw tells them apart."""
    config = GanTrainingConfig(
        kimg=0.032, batch_size=4, mirror=True, threads=1, seed=11, generator=GENERATOR, discriminator=DISCRIMINATOR
    )
    pictures = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 16, 16, 3)).copy()
    seen: dict[int, set[int]] = {}
    step = GanModule.training_step

    def recorded(module: GanModule, batch: GanBatch, index: int) -> object:
        seen[batch.iteration] = set(batch.images[:, 0, 0, 0].tolist())
        return step(module, batch, index)

    monkeypatch.setattr(GanModule, "training_step", recorded)
    assert train_gan(config, pictures, tmp_path).iterations == 8 == len(seen)
    for index in range(10):
        expected = [iteration for iteration in range(8) if index in seen[iteration]]
        assert iterations_drawing(config.seed, 4, 10, index, 0, config.iterations).tolist() == expected


def test_long_training_is_told_in_a_moment() -> None:
    """400 kimg of 8,000 images: 50 passes, measured at about 10 ms; a permutation per iteration would take seconds."""
    started = time.perf_counter()
    drawn = iterations_drawing(0, 16, 8000, 4321, 0, iterations_of(400, 16))
    assert time.perf_counter() - started < 1.0
    assert len(drawn) == 50
    assert np.array_equal(drawn // 500, np.arange(50)), "once in each pass"


def test_image_beyond_the_set_is_refused() -> None:
    with pytest.raises(ValueError, match="image 10 of 10"):
        iterations_drawing(0, 4, 10, 10, 0, 5)
