"""What the editor's network, losses and augmentation must hold."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.errors import UserError
from training.editor.apply import Editor, blending_mask, edit
from training.editor.augment import AugmentConfig, PairBatch, augment, view
from training.editor.losses import (
    alpha_supervision,
    attribute_absence,
    discriminator_hinge,
    editor_hinge,
    held_target,
    identity_drift,
    masked_l1,
)
from training.editor.network import EditorConfig, EditorNetwork

SMALL = EditorConfig(size_px=32, channels=(8, 8, 8), detail_channels=4, bottleneck_blocks=1)


@pytest.fixture
def editor() -> Editor:
    torch.manual_seed(0)
    return Editor(EditorNetwork(SMALL).requires_grad_(False), "beard", "")


def images(count: int = 2, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def box(count: int = 2, size: int = 32) -> Tensor:
    mask = torch.zeros(count, 1, size, size)
    mask[..., 8:20, 8:20] = 1
    return mask


def test_where_alpha_is_zero_a_pixel_stays_the_inputs_own(editor: Editor) -> None:
    assert editor.network.output.bias is not None
    editor.network.output.bias[3] = -1e4
    assert torch.equal(editor(images()), images())
    assert torch.equal(blending_mask(editor, images()), torch.zeros(2, 1, 32, 32))


@pytest.mark.parametrize("strength", [0.3, 1.0, 1.5])
def test_pixels_outside_a_predicted_mask_stay_the_inputs_own(editor: Editor, strength: float) -> None:
    x, outside = images(), box() == 0

    def close_alpha(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return torch.cat([output[:, :3], output[:, 3:4].masked_fill(outside, -1e4), output[:, 4:]], dim=1)

    editor.network.output.register_forward_hook(close_alpha)
    edited = edit(editor, x, strength)
    assert torch.equal(edited[outside.expand_as(x)], x[outside.expand_as(x)])
    assert not torch.equal(edited, x)


def test_without_blending_the_output_is_the_image() -> None:
    config = SMALL.model_copy(update={"blend": False})
    network = EditorNetwork(config).requires_grad_(False)
    assert network.output.out_channels == EditorNetwork(SMALL).output.out_channels - 1
    assert torch.equal(blending_mask(Editor(network, "beard", ""), images()), torch.ones(2, 1, 32, 32))
    assert torch.isfinite(network(images()).images).all()


def test_strength_moves_from_the_input_to_the_edit(editor: Editor) -> None:
    x = images()
    assert torch.equal(edit(editor, x, strength=0), x)
    assert torch.equal(edit(editor, x, strength=1), editor(x))
    half = edit(editor, x, strength=0.5)
    assert torch.allclose(half, (x + editor(x)) / 2, atol=1e-6)  # float32 rounding
    beyond = edit(editor, x, strength=1.5)
    assert torch.allclose(beyond, (x + 1.5 * (editor(x) - x)).clamp(-1, 1), atol=1e-6)


@pytest.mark.parametrize("strength", [-0.01, 1.51, math.nan])
def test_strength_out_of_range_is_refused(editor: Editor, strength: float) -> None:
    with pytest.raises(UserError, match=r"expected 0 to 1\.5"):
        edit(editor, images(), strength)


def test_sides_divisible_by_16_are_edited_and_others_refused(editor: Editor) -> None:
    assert editor(images(size=48)).shape == (2, 3, 48, 48)
    with pytest.raises(UserError, match="divisible by 16"):
        editor(images(size=40))


def test_an_image_is_edited_the_same_beside_any_other(editor: Editor) -> None:
    """No statistics over the batch: to 1e-5, the rounding of a batched convolution."""
    assert torch.allclose(editor(images(4))[:1], editor(images(4)[:1]), atol=1e-5)


def test_held_target_never_shows_what_leaks_out_of_the_mask() -> None:
    original, target, mask = images(), images(seed=1), box()
    held = held_target(original, target, mask)
    assert torch.equal(held[..., :7, :], original[..., :7, :])  # one pixel of feather around the box
    assert torch.allclose(held[..., 9:19, 9:19], target[..., 9:19, 9:19], atol=1e-6)


def test_small_regions_count_as_much_as_large_ones() -> None:
    small, large = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    small[..., :4, :4] = 1
    zeros, ones = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    assert masked_l1(zeros, ones, small) == masked_l1(zeros, ones, large) == 1
    assert masked_l1(zeros, ones, torch.zeros(1, 1, 32, 32)) == 0


def test_alpha_outside_the_mask_costs_more_than_none_inside() -> None:
    mask = box()
    everywhere = alpha_supervision(torch.full_like(mask, 6.0), mask, inside_weight=0.2)
    nowhere = alpha_supervision(torch.full_like(mask, -6.0), mask, inside_weight=0.2)
    right = alpha_supervision((mask * 2 - 1) * 6.0, mask, inside_weight=0.2)
    assert right < nowhere < everywhere


def test_attribute_loss_falls_as_the_attribute_appears() -> None:
    low, high = (attribute_absence(torch.full((4,), p)) for p in (0.1, 0.9))
    assert 0 < high < low
    assert torch.isfinite(attribute_absence(torch.zeros(4)))


def test_identity_loss_is_one_minus_the_cosine() -> None:
    """By hand: the same way, across, opposite, whatever the lengths; (0 + 1 + 2) / 3."""
    edited = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]])
    assert identity_drift(edited, torch.tensor([[1.0, 0.0]] * 3)).item() == pytest.approx(1.0)
    assert identity_drift(edited, edited).item() == pytest.approx(0.0, abs=1e-6)  # float32 rounding


def test_hinge_losses_are_the_mean_over_the_scales() -> None:
    """By hand: relu(1 − 3) + relu(1 − 2) = 0 and relu(1 − 0) + relu(1 + 1) = 3; edited scores −2 and 1."""
    real = [torch.full((1, 1, 2, 2), 3.0), torch.zeros(1, 1, 1, 1)]
    edited = [torch.full((1, 1, 2, 2), -2.0), torch.ones(1, 1, 1, 1)]
    assert discriminator_hinge(real, edited).item() == 1.5
    assert editor_hinge(edited).item() == 0.5


def test_both_images_of_a_pair_are_changed_alike() -> None:
    x = images(8)
    changed = augment(PairBatch(x, x.clone(), box(8)), AugmentConfig(flip=True), np.random.default_rng(0))
    assert torch.equal(changed.original, changed.target)
    assert not torch.allclose(changed.original, x, atol=0.05)


def test_the_mask_moves_with_the_images() -> None:
    mask = box(8)
    geometric = AugmentConfig(brightness=0, contrast=0, colour=0, sharpness=0, noise=0, flip=True, rotation_deg=30)
    painted = mask.expand(-1, 3, -1, -1) * 2 - 1  # the image of the mask
    changed = augment(PairBatch(painted, painted, mask), geometric, np.random.default_rng(1))
    assert torch.allclose(changed.mask.expand(-1, 3, -1, -1), (changed.original + 1) / 2, atol=1e-5)
    assert not torch.equal(changed.mask, mask)


def test_augmentation_is_a_function_of_its_generator() -> None:
    pair = PairBatch(images(), images(seed=1), box())
    first, again, other = (augment(pair, AugmentConfig(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.target, other.target)


def test_judged_view_follows_its_generator_and_lets_gradients_through() -> None:
    """A view that cut the gradient would leave the judge's loss without effect."""
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).mul(0.5).requires_grad_(True)
    first, again, other = (view(images, AugmentConfig(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, images)
    first.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None and bool((images.grad.abs().sum(dim=(1, 2, 3)) > 0).all())


def test_augmentation_switched_off_changes_nothing() -> None:
    """To 1e-5: the sampling grid itself rounds."""
    off = AugmentConfig(shift=0, scale=0, rotation_deg=0, brightness=0, contrast=0, colour=0, sharpness=0, noise=0)
    pair = PairBatch(images(), images(seed=1), box())
    changed = augment(pair, off, np.random.default_rng(0))
    assert torch.allclose(changed.original, pair.original, atol=1e-5)
    assert torch.allclose(changed.mask, pair.mask, atol=1e-5)
