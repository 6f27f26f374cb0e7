"""Sheets show the right pixels in the right place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.sheet import (
    at_size,
    edit_sheet,
    error_image,
    grid,
    mask_image,
    sheet,
    side_by_side,
    time_lapse,
    write_png,
)


def _faces(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def test_grid_keeps_pixels_and_order() -> None:
    images = _faces(5)
    page = grid(images, 3)
    gap = (page.shape[1] - 3 * 16) // 4
    for index, image in enumerate(images):
        top, left = gap + (index // 3) * (16 + gap), gap + (index % 3) * (16 + gap)
        assert np.array_equal(page[top : top + 16, left : left + 16], image)


def test_error_is_amplified_and_clipped_without_wrapping() -> None:
    a, b = np.full((1, 2, 2, 3), 10, np.uint8), np.full((1, 2, 2, 3), 20, np.uint8)
    assert (error_image(a, b) == 40).all() and (error_image(b, a) == 40).all()
    assert (error_image(a, np.full_like(a, 250)) == 255).all()


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="the same number"):
        sheet([("a", _faces(2)), ("b", _faces(3))])


def test_two_halves_hold_every_row_at_one_height() -> None:
    faces = np.arange(5, dtype=np.uint8)[:, None, None, None] * 40 + np.zeros((1, 16, 16, 3), np.uint8)
    labels = [f"row {index}" for index in range(5)]
    page = side_by_side([("input", faces)], title="five", row_labels=labels)
    half = sheet([("input", faces[:3])], title="five", row_labels=labels[:3])
    assert np.array_equal(page[:, : half.shape[1]], half)
    shown = {value for value in (0, 40, 80, 120, 160) if (page == value).all(axis=2).sum() >= 192 * 192}
    assert shown == {0, 40, 80, 120, 160}
    right = page[:, half.shape[1] :]
    assert [int(np.argwhere((side == value).all(axis=2))[0, 0]) for side, value in ((half, 0), (right, 120))] == [
        int(np.argwhere((half == 0).all(axis=2))[0, 0])
    ] * 2


def test_sheet_without_truth_shows_the_change_instead() -> None:
    faces = _faces(2)
    assert edit_sheet(faces, faces, None).shape[1] < edit_sheet(faces, faces, faces).shape[1]


def test_png_holds_rgb_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    write_png(tmp_path / "a.png", red)
    write_png(tmp_path / "b.png", red)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    stored = cv2.imread(str(tmp_path / "a.png"))
    assert stored is not None and stored[0, 0].tolist() == [0, 0, 255]  # OpenCV reads BGR
    assert mask_image(np.ones((1, 2, 2)))[0, 0, 0].tolist() == [255, 255, 255]


def test_time_lapse_keeps_the_first_and_the_last_snapshot() -> None:
    frames = [(float(kimg), np.full((2, 16, 16, 3), 10 * kimg, np.uint8)) for kimg in range(21)]
    page = time_lapse(frames, columns=4)
    assert page.shape == time_lapse(frames[:4]).shape
    shown = {int(value) for value in np.unique(page[..., 0]) if (page[..., 0] == value).sum() >= 192 * 192}
    assert {0, 70, 130, 200} <= shown


def test_snapshots_out_of_order_are_refused() -> None:
    faces = _faces(1)
    for times in ([2.0, 1.0], [1.0, 1.0]):
        with pytest.raises(ValueError, match="in order"):
            time_lapse([(kimg, faces) for kimg in times])


def test_resizing_keeps_flat_colours() -> None:
    flat = np.full((1, 16, 16, 3), 77, np.uint8)
    assert all((at_size(flat, side) == 77).all() and at_size(flat, side).shape[1] == side for side in (4, 16, 48))
