"""What the joint mask must hold."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from training.joint_mask import ParserMask, dilate, joint_mask, remembered, resize_mask


def box(size: int, low: int, high: int) -> Tensor:
    mask = torch.zeros(1, 1, size, size)
    mask[..., low:high, low:high] = 1
    return mask


def test_union_and_intersection_are_what_they_say() -> None:
    first, second = box(8, 0, 4), box(8, 2, 6)
    assert joint_mask(first, second, "union").sum() == 16 + 16 - 4
    assert joint_mask(first, second, "intersection").sum() == 4


def test_masks_of_two_layers_come_to_the_larger_size() -> None:
    joint = joint_mask(box(8, 0, 8), torch.zeros(1, 1, 32, 32))
    assert joint.shape == (1, 1, 32, 32)
    assert torch.equal(joint, torch.ones_like(joint))


def test_a_line_survives_shrinking() -> None:
    """Without antialiasing a line that falls between two samples vanishes."""
    line = torch.zeros(1, 1, 64, 64)
    line[..., 1, :] = 1
    assert resize_mask(line, 8)[0, 0].max() > 0.05
    assert resize_mask(line, 8).sum() * 64 == pytest.approx(float(line.sum()), rel=0.35)  # the border weighs more


def test_resizing_stays_within_bounds() -> None:
    mask = torch.rand(2, 1, 64, 64).round()
    assert resize_mask(mask, 16).min() >= 0 and resize_mask(mask, 16).max() <= 1


def test_dilation_grows_by_its_radius_on_each_side() -> None:
    assert torch.equal(dilate(box(16, 6, 10), 2), box(16, 4, 12))


def test_parser_mask_asks_for_its_regions_and_widens_them() -> None:
    class Centre:
        def mask(self, images: Tensor, regions: Sequence[str]) -> Tensor:
            assert regions == ("hair",)
            return box(images.shape[-1], 6, 10)

    assert torch.equal(ParserMask(Centre(), ["hair"], dilate_px=1)(torch.zeros(1, 3, 16, 16)), box(16, 5, 11))
    with pytest.raises(ValueError, match="at least one region"):
        ParserMask(Centre(), [])


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'union' or 'intersection'"):
        joint_mask(box(8, 0, 4), box(8, 0, 4), "xor")  # type: ignore[arg-type]


def test_remembered_source_is_asked_once_for_each_tensor() -> None:
    asked: list[Tensor] = []

    def source(images: Tensor) -> Tensor:
        asked.append(images)
        return images[:, :1]

    masks = remembered(source)
    first, equal = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    assert masks(first) is masks(first)
    assert masks(equal) is not masks(first) and len(asked) == 2  # equal values are another tensor
    assert remembered(masks) is masks
