"""Similarity transforms, antialiased crops, labels, and the way back into the photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data.alignment import (
    Template,
    align,
    align_labels,
    invert,
    paste_back,
    paste_difference,
    scale_of,
    similarity,
    transform_points,
)
from data.errors import UserError

SIZE = 64
LANDMARKS = np.array([[36.2, 45.1], [61.3, 42.8], [48, 60], [40, 70], [56, 70]], np.float32)


def _field(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth picture, defined at every point."""
    return np.stack([128 + 80 * np.sin(x / 9), 128 + 80 * np.cos(y / 7), 128 + 60 * np.sin((x + y) / 11)], -1)


def _picture(side: int, per_unit: float = 1.0) -> NDArray[np.uint8]:
    """The smooth picture sampled at pixel centres, `per_unit` pixels a unit."""
    y, x = (np.mgrid[:side, :side] + 0.5) / per_unit - 0.5
    return np.rint(_field(x, y)).astype(np.uint8)


def _expected(transform: NDArray[np.float64], inside: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the crop should show, and which of its pixels lie `inside` a picture of that side."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    at = transform_points(np.stack([x.ravel(), y.ravel()], 1), invert(transform)).reshape(SIZE, SIZE, 2)
    return _field(at[..., 0], at[..., 1]), ((at > 2) & (at < inside - 2)).all(-1)


def test_eyes_land_on_the_template() -> None:
    transform = similarity(LANDMARKS, Template(), SIZE)
    eyes = transform_points(LANDMARKS[:2], transform)
    np.testing.assert_allclose(eyes, Template().points_px(SIZE), atol=1e-4)  # float32 points
    rotation = transform[:, :2] / scale_of(transform)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(2), atol=1e-12)  # a similarity: no shear, no mirror
    assert np.linalg.det(rotation) > 0


@pytest.mark.parametrize("eyes", [[[5, 5], [5, 5]], [[5, 5], [np.nan, 5]]])
def test_eyes_that_give_no_direction_are_refused(eyes: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.array([*eyes, [0, 0], [0, 0], [0, 0]], np.float32), Template(), SIZE)


def test_template_outside_the_crop_or_crossed_is_refused() -> None:
    with pytest.raises(UserError, match="outside the crop"):
        Template((1.2, 0.5))
    with pytest.raises(UserError, match="left_eye lies right"):
        Template.of("face", {"left_eye": (0.7, 0.5), "right_eye": (0.3, 0.5)})


@pytest.mark.parametrize(("per_unit", "tolerance"), [(1.0, 2.0), (0.5, 4.0), (10.0, 2.0)])
def test_crop_shows_the_picture_without_a_shift(per_unit: float, tolerance: float) -> None:
    """Half a pixel of shift would be an error of up to 8 grey levels. The tolerance covers interpolation only: the
    widest at 0.5, where the picture is enlarged from half the samples."""
    picture = _picture(int(96 * per_unit), per_unit)
    transform = similarity(LANDMARKS, Template(), SIZE)
    landmarks = ((LANDMARKS + 0.5) * per_unit - 0.5).astype(np.float32)
    crop = align(picture, similarity(landmarks, Template(), SIZE), SIZE)
    expected, inside = _expected(transform, 96)
    assert inside.mean() > 0.8
    assert np.abs(crop - expected)[inside].max() < tolerance


def test_shrinking_is_antialiased() -> None:
    """Stripes of one pixel, shrunk 6 times, are grey; point sampling would show black and white."""
    stripes = np.repeat((np.indices((384, 384)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = align(stripes, np.array([[1 / 6, 0, 0], [0, 1 / 6, 0]], np.float64), SIZE)
    assert np.abs(crop.astype(int) - 127).max() < 12


def test_identity_transform_changes_nothing() -> None:
    picture = _picture(SIZE)
    assert np.array_equal(align(picture, np.eye(2, 3), SIZE), picture)


def test_border_is_filled_as_asked() -> None:
    picture = np.full((SIZE, SIZE, 3), 90, np.uint8)
    away = np.array([[1, 0, 32], [0, 1, 0]], np.float64)
    assert (align(picture, away, SIZE) == 90).all()
    assert (align(picture, away, SIZE, fill=(1, 2, 3))[:, :30] == (1, 2, 3)).all()


def test_labels_follow_the_image_and_stay_labels() -> None:
    y, x = np.mgrid[:96, :96]
    disc = (np.hypot(x - 48, y - 50) < 20).astype(np.uint8) * 7
    transform = similarity(LANDMARKS, Template(), SIZE)
    labels = align_labels(disc, transform, SIZE)
    image = align(np.repeat(disc[..., None] // 7 * 255, 3, axis=2), transform, SIZE)
    assert set(np.unique(labels)) == {0, 7}
    # Both are area averages of the same disc; they may differ only where a pixel is covered about half.
    differs = (labels == 7) != (image[..., 0] > 127)
    assert np.abs(image[..., 0].astype(int) - 127)[differs].max(initial=0) < 40
    assert differs.mean() < 0.01


def test_paste_back_returns_the_photo_and_leaves_the_outside_alone() -> None:
    photo = _picture(480, 5.0)
    transform = similarity(LANDMARKS * 5, Template(), SIZE)
    crop = align(photo, transform, SIZE)
    assert np.abs(paste_back(photo, crop, transform).astype(int) - photo).mean() < 1.0  # what 64 px cannot hold
    edited = np.full_like(crop, 255)
    pasted = paste_back(photo, edited, transform)
    placed = cv2.warpAffine(
        np.ones((SIZE, SIZE), np.float32), invert(transform), (480, 480), flags=cv2.INTER_LINEAR
    )  # fmt: skip
    outside = cv2.dilate(placed, np.ones((17, 17), np.uint8)) == 0
    assert outside.any()
    assert np.array_equal(pasted[outside], photo[outside])
    centre = transform_points(np.array([[32.0, 32.0]]), invert(transform))[0].astype(int)
    assert (pasted[centre[1], centre[0]] == 255).all()


def test_pasting_no_difference_keeps_every_bit_of_the_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    transform = similarity(LANDMARKS * 3, Template(), SIZE)
    crop = align(photo, transform, SIZE)
    assert np.array_equal(paste_difference(photo, crop, crop, transform), photo)
    brighter = np.clip(crop.astype(int) + 20, 0, 255).astype(np.uint8)
    assert paste_difference(photo, crop, brighter, transform).mean() > photo.mean()


def test_face_beyond_the_photo_is_pasted_without_an_error() -> None:
    photo = _picture(60)
    transform = np.array([[1, 0, 500], [0, 1, 0]], np.float64)
    assert np.array_equal(paste_back(photo, np.zeros((SIZE, SIZE, 3), np.uint8), transform), photo)
