"""An image that cannot be measured is refused with its file and its row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import UserError
from data.png import encode_png
from evaluation.protocols.folder import ImageSize, file_digests, read_column, read_masks, repeated
from evaluation.protocols.pairs_csv import Columns, Table, read_table

COLUMNS = Columns(images=("output", "mask"), texts=(), required=("output",))


def _png(side: int = 16, width: int | None = None, seed: int = 0) -> bytes:
    shape = (side, width or side, 3)
    return encode_png(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def _table(folder: Path, second: bytes, column: str = "output") -> Table:
    (folder / "a.png").write_bytes(_png())
    (folder / "b.png").write_bytes(second)
    text = "output\na.png\nb.png\n" if column == "output" else "output,mask\na.png,b.png\n"
    (folder / "pairs.csv").write_text(text)
    return read_table(folder / "pairs.csv", folder, COLUMNS)


def _float_tiff(folder: Path) -> bytes:
    values = np.full((16, 16), np.nan, dtype=np.float32)
    Image.fromarray(values).save(folder / "deep.tiff")
    return (folder / "deep.tiff").read_bytes()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda folder: _png()[:200], "truncated"),
        (lambda folder: b"", "not_an_image"),
        (lambda folder: b"no image", "not_an_image"),
        (lambda folder: _png(16, 20), "has 20×16 pixels"),
        (lambda folder: _png(24), "has 24 pixels a side, but a.png has 16"),
        (_float_tiff, "deeper than 8 bits"),
    ],
)
def test_bad_image_names_file_and_row(tmp_path: Path, second: Callable[[Path], bytes], message: str) -> None:
    table = _table(tmp_path, second(tmp_path))
    with pytest.raises(UserError) as caught:
        read_column(table, "output")
    assert message in caught.value.message
    assert "pairs.csv, row 3: output" in caught.value.message and "b.png" in caught.value.message


def test_missing_image_names_the_nearest(tmp_path: Path) -> None:
    table = _table(tmp_path, _png())
    (tmp_path / "b.png").rename(tmp_path / "bb.png")
    with pytest.raises(UserError, match=r"row 3: output .*b\.png does not exist") as caught:
        read_column(table, "output")
    assert "Did you mean 'bb.png'?" in caught.value.hint


def test_mask_is_white_where_change_is_allowed_and_never_in_colour(tmp_path: Path) -> None:
    levels = np.zeros((16, 16, 3), dtype=np.uint8)
    levels[:4] = 255
    table = _table(tmp_path, encode_png(levels), "mask")
    size = ImageSize(16, tmp_path / "a.png")
    masks = read_masks(table, size)
    assert masks is not None and masks[0, :4].all() and not masks[0, 4:].any()
    with pytest.raises(UserError, match=r"row 2: mask .* in colour"):
        read_masks(_table(tmp_path, _png(seed=3), "mask"), size)


def test_repeated_results_are_counted(tmp_path: Path) -> None:
    assert repeated(file_digests(_table(tmp_path, _png()), "output")) == 1
    assert repeated(file_digests(_table(tmp_path, _png(seed=1)), "output")) == 0
