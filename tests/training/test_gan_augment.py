"""Augmentation of what the discriminator sees."""

import torch

from training.augment import adapted_p, augment, draw_augmentation


def test_nothing_is_drawn_at_p_zero() -> None:
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    unchanged = augment(images, draw_augmentation(0, 3, 4, 16, p=0.0))
    # 1e-6: colour is taken apart and put together again
    torch.testing.assert_close(unchanged, images, rtol=0, atol=1e-6)


def test_draws_depend_on_the_iteration_alone() -> None:
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    first, again, second = (augment(images, draw_augmentation(0, i, 4, 16, p=1.0)) for i in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.allclose(first, images)


def test_gradient_passes_to_the_images() -> None:
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    augment(images, draw_augmentation(0, 0, 4, 16, p=1.0)).square().sum().backward()
    assert images.grad is not None and float(images.grad.abs().sum()) > 0


def test_p_follows_overfitting_within_its_bounds() -> None:
    sure, unsure = torch.full((8,), 3.0), torch.full((8,), -3.0)
    assert adapted_p(0.5, sure, target=0.6, step=0.1) == 0.6
    assert adapted_p(0.05, unsure, target=0.6, step=0.1) == 0.0
    assert adapted_p(0.95, sure, target=0.6, step=0.1) == 1.0
