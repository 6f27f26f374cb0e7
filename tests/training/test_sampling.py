"""Draws depend on seed and index, never on the batch they are drawn in."""

import numpy as np
import torch

from training.draws import image_order
from training.sampling import latents, layer_noise, training_noise
from training.stylegan2 import layer_sizes


def test_latent_is_a_function_of_seed_and_index() -> None:
    alone, among = latents(7, torch.tensor([41]), 16), latents(7, torch.tensor([3, 41, 900_000]), 16)
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[0], among[1])
    assert not torch.equal(alone, latents(8, torch.tensor([41]), 16))


def test_latents_are_standard_normal() -> None:
    z = latents(0, torch.arange(2000), 32)
    # 64,000 draws: the mean's standard error is 0.004, the deviation's 0.003; five of them
    assert abs(float(z.mean())) < 0.02 and abs(float(z.std()) - 1) < 0.015
    assert abs(float((z[:-1] * z[1:]).mean())) < 0.02, "neighbouring indices must be independent"


def test_noise_agrees_over_batches_and_network_sizes() -> None:
    small = layer_noise(5, torch.tensor([2]), layer_sizes(16))
    large = layer_noise(5, torch.tensor([1, 2]), layer_sizes(32))
    for name, maps in small.items():
        assert torch.equal(maps[0], large[name][1])
    assert not torch.equal(large["8/1"], large["8/2"])


def test_training_noise_changes_with_the_iteration() -> None:
    first, again, second = (training_noise(0, i, 2, {"4/1": 4})["4/1"] for i in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_each_image_comes_once_per_pass_in_a_new_order() -> None:
    shown = np.concatenate([image_order(0, iteration, 4, 10) for iteration in range(5)])  # 20 places, two passes
    assert sorted(shown[:10]) == list(range(10)) == sorted(shown[10:])
    assert not np.array_equal(shown[:10], shown[10:])
    assert not np.array_equal(shown, np.concatenate([image_order(1, i, 4, 10) for i in range(5)]))


def test_order_of_images_is_a_contract() -> None:
    """`audit --exposure` says from a seed in which iterations past trainings showed an image."""
    assert image_order(7, 3, 6, 10).tolist() == [4, 6, 0, 5, 7, 1]
