"""Sheets show the right pixels in the right place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.sheet import edit_sheet, error_image, grid, mask_image, sheet, write_png


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
