"""The images that a CSV names: aligned crops of one square size, read and checked, and masks among them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.decoding import decode_image
from data.errors import UserError
from data.quarantine import BadImageError
from evaluation.protocols.pairs_csv import Table, did_you_mean

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
DEEP_MODES = ("I", "F")
GREY_TOLERANCE_LEVELS = 2
"""How far a mask's channels may lie apart: colour management turns grey into almost grey."""


@dataclass(frozen=True)
class ImageSize:
    """The size that all images of a folder share, and the file that set it."""

    side_px: int
    file: Path

    @classmethod
    def of(cls, images: Images, table: Table, column: str) -> ImageSize:
        """The size of N×S×S×3 images that were read from a column, named by its first file."""
        return cls(images.shape[1], table.folder / table.cells[column][0])


def read_column(table: Table, column: str, size: ImageSize | None = None) -> Images:
    """Return the images that a column names, uint8 N×S×S×3, of `size` or else of the first one's own.

    Raises UserError that names file and row: missing, not an image, damaged, deeper than 8 bits, not square, of
    another size than the others.
    """
    read: dict[str, Images] = {}
    for row, cell in enumerate(table.cells[column]):
        if cell in read:
            continue
        where, path = f"{table.where(row)}: {column}", table.folder / cell
        read[cell] = _image(path, where)
        size = size or ImageSize(read[cell].shape[0], path)
        _check_size(read[cell], path, where, size)
    return np.stack([read[cell] for cell in table.cells[column]])


def read_masks(table: Table, size: ImageSize, column: str = "mask") -> Masks | None:
    """Return where a row's image may change, bool N×S×S (white = may change); None without such a column.

    Raises UserError like read_column, and for a mask in colour.
    """
    if column not in table:
        return None
    levels = read_column(table, column, size)
    spread = levels.max(axis=3).astype(np.int16) - levels.min(axis=3)
    coloured = np.flatnonzero(spread.max(axis=(1, 2)) > GREY_TOLERANCE_LEVELS)
    if len(coloured):
        row = int(coloured[0])
        said = f"{table.where(row)}: {column} {table.cells[column][row]!r} is a picture in colour."
        raise UserError(said, "A mask is grey: white where the image may change, black elsewhere.")
    return np.asarray(levels[..., 0] >= 128, dtype=bool)


def file_digests(table: Table, column: str) -> tuple[str, ...]:
    """The sha256 of each row's file in a column."""
    return tuple(hashlib.sha256((table.folder / cell).read_bytes()).hexdigest() for cell in table.cells[column])


def repeated(digests: tuple[str, ...]) -> int:
    """How many images are byte for byte another one of them: a tool that gives everybody one answer has many."""
    return len(digests) - len(set(digests))


def _image(path: Path, where: str) -> Images:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{where} {path} {what}.", _nearby(path))
    try:
        payload = path.read_bytes()
        image = decode_image(payload)
    except OSError as error:
        raise UserError(f"{where} {path} cannot be read: {error}.", "Check its permissions.") from error
    except BadImageError as error:
        raise UserError(f"{where} {path} is no usable image: {error}.", "Write it again as 8-bit PNG.") from error
    _check_depth(payload, path, where)
    if image.shape[0] != image.shape[1]:
        size = f"{image.shape[1]}×{image.shape[0]}"
        raise UserError(f"{where} {path} has {size} pixels.", "Give aligned crops: square, all of one size.")
    return image


def _check_depth(payload: bytes, path: Path, where: str) -> None:
    """Deep samples have no agreed scale, and float ones may be NaN: what would be judged is not what was written."""
    with Image.open(io.BytesIO(payload)) as picture:
        if picture.mode.startswith(DEEP_MODES):
            raise UserError(f"{where} {path} has samples deeper than 8 bits.", "Write it again as 8-bit PNG.")


def _check_size(image: Images, path: Path, where: str, size: ImageSize) -> None:
    if image.shape[0] != size.side_px:
        raise UserError(
            f"{where} {path} has {image.shape[0]} pixels a side, but {size.file.name} has {size.side_px}.",
            "Give aligned crops of one size: results, inputs, truths, masks, gallery and reference alike.",
        )


def _nearby(path: Path) -> str:
    """The nearest name in the folder where the file should be."""
    if not path.parent.is_dir():
        return f"There is no folder {path.parent}: names are relative to the folder that is evaluated."
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    close = did_you_mean(path.name, names)
    return close if close.startswith("Did") else "Names are relative to the folder that is evaluated."
