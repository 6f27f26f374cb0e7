"""Contact sheets: pictures in rows and columns with quiet captions, as one uint8 image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data.png import encode_png

Images = NDArray[np.uint8]
Picture = NDArray[np.uint8]
TIME_LAPSE_COLUMNS = 8


@dataclass(frozen=True)
class SheetStyle:
    """Colours (RGB) and sizes (pixels) of a sheet; `cell_px` is the least size of a picture on it."""

    paper: tuple[int, int, int] = (250, 250, 248)
    ink: tuple[int, int, int] = (40, 42, 46)
    faint: tuple[int, int, int] = (120, 124, 130)
    gap_px: int = 6
    margin_px: int = 18
    cell_px: int = 192
    caption_px: int = 15
    title_px: int = 20


STYLE = SheetStyle()


def enlarge(image: Picture, cell_px: int) -> Picture:
    """Return the picture at the least whole multiple of its size that reaches `cell_px`, edges kept soft."""
    factor = max(1, round(cell_px / image.shape[0]))
    if factor == 1:
        return image
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def at_size(images: Images, side_px: int) -> Images:
    """Return N×H×H×3 pictures at another size: enlarged with soft edges, shrunk by averaging."""
    if images.shape[1] == side_px:
        return images
    how = cv2.INTER_CUBIC if side_px > images.shape[1] else cv2.INTER_AREA
    return np.stack([cv2.resize(image, (side_px, side_px), interpolation=how) for image in images]).astype(np.uint8)


def grid(images: Images, columns: int, *, cell_px: int = 0, style: SheetStyle = STYLE) -> Picture:
    """Return N×H×W×3 pictures in rows of `columns`, with narrow gaps and no text; cell_px 0 keeps their size."""
    cells = [enlarge(image, cell_px) if cell_px else image for image in images]
    height, width = cells[0].shape[:2]
    gap = max(1, style.gap_px // 3)
    rows = -(-len(cells) // columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), style.paper, dtype=np.uint8)
    for position, cell in enumerate(cells):
        top, left = gap + (position // columns) * (height + gap), gap + (position % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = cell
    return canvas


def error_image(a: Images, b: Images, gain: float = 4.0) -> Images:
    """Return the absolute difference of two uint8 image sets of one shape, times `gain`, clipped."""
    change = np.abs(a.astype(np.int16) - b.astype(np.int16)).astype(np.float32)
    return np.asarray(np.clip(change * gain, 0, 255), dtype=np.uint8)


def mask_image(masks: NDArray[np.floating] | NDArray[np.bool_]) -> Images:
    """Return N×H×W masks in [0, 1] as N×H×W×3 grey pictures."""
    levels = np.rint(np.clip(masks.astype(np.float32), 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)


def sheet(
    columns: Sequence[tuple[str, Images]],
    *,
    title: str = "",
    subtitle: str = "",
    row_labels: Sequence[str] = (),
    style: SheetStyle = STYLE,
) -> Picture:
    """Return a table of pictures: one captioned column per (name, N×H×W×3 uint8), one row per image.

    Raises ValueError when columns hold different numbers of pictures or none.
    """
    counts = {len(images) for _, images in columns}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"columns of a sheet hold {sorted(counts)} pictures: the same number, at least one, is needed")
    cells = [[enlarge(image, style.cell_px) for image in images] for _, images in columns]
    layout = _Layout.of(cells, bool(title), bool(subtitle), bool(row_labels), style)
    canvas = layout.paste(cells)
    return layout.write(canvas, [name for name, _ in columns], title, subtitle, row_labels)


def side_by_side(
    columns: Sequence[tuple[str, Images]],
    *,
    halves: int = 2,
    title: str = "",
    subtitle: str = "",
    row_labels: Sequence[str] = (),
    style: SheetStyle = STYLE,
) -> Picture:
    """Return a sheet whose rows are broken into `halves` of equal height beside each other, title on the first."""
    count = len(columns[0][1])
    height = -(-count // halves)
    parts = []
    for start in range(0, count, max(height, 1)):
        rows = slice(start, start + height)
        part = [(name, images[rows]) for name, images in columns]
        # A blank holds the title's place, so that rows stand at one height.
        words = (title, subtitle) if start == 0 else (" " * bool(title), " " * bool(subtitle))
        parts.append(sheet(part, title=words[0], subtitle=words[1], row_labels=row_labels[rows], style=style))
    tallest = max(part.shape[0] for part in parts)
    padded = [_extended(part, tallest, style) for part in parts]
    return np.asarray(np.concatenate(padded, axis=1), dtype=np.uint8)


def _extended(picture: Picture, height: int, style: SheetStyle) -> Picture:
    """The picture with paper below it."""
    canvas = np.full((height, *picture.shape[1:]), style.paper, dtype=np.uint8)
    canvas[: picture.shape[0]] = picture
    return canvas


@dataclass(frozen=True)
class _Layout:
    """Where everything on a sheet is, in pixels."""

    lefts: tuple[int, ...]
    tops: tuple[int, ...]
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    header_px: int
    style: SheetStyle

    @classmethod
    def of(cls, cells: list[list[Picture]], title: bool, subtitle: bool, labels: bool, style: SheetStyle) -> _Layout:
        caption = style.caption_px + 8
        header = (style.title_px + 8) * title + caption * subtitle
        widths = tuple(column[0].shape[1] for column in cells)
        heights = tuple(max(column[r].shape[0] for column in cells) for r in range(len(cells[0])))
        row_gap = caption + style.gap_px if labels else style.gap_px
        left = _running(style.margin_px, widths, style.gap_px)
        return cls(left, _running(style.margin_px + header + caption, heights, row_gap), widths, heights, header, style)

    def paste(self, cells: list[list[Picture]]) -> Picture:
        style = self.style
        row_gap = self.tops[1] - self.tops[0] - self.heights[0] if len(self.tops) > 1 else style.gap_px
        height = self.tops[-1] + self.heights[-1] + max(row_gap, style.caption_px + 8) + style.margin_px - style.gap_px
        width = self.lefts[-1] + self.widths[-1] + style.margin_px
        canvas = np.full((height, width, 3), style.paper, dtype=np.uint8)
        for left, column in zip(self.lefts, cells, strict=True):
            for top, cell in zip(self.tops, column, strict=True):
                canvas[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        return canvas

    def write(
        self, canvas: Picture, names: Sequence[str], title: str, subtitle: str, row_labels: Sequence[str]
    ) -> Picture:
        style, page = self.style, Image.fromarray(canvas)
        draw = ImageDraw.Draw(page)
        caption, heading = ImageFont.load_default(style.caption_px), ImageFont.load_default(style.title_px)
        top, left = style.margin_px, style.margin_px
        below_title = top + (style.title_px + 8) * bool(title)
        draw.text((left, top - 4), title, fill=style.ink, font=heading)
        draw.text((left, below_title - 4), subtitle, fill=style.faint, font=caption)
        for x, name in zip(self.lefts, names, strict=True):
            draw.text((x, top + self.header_px), name, fill=style.ink, font=caption)
        for label, y, height in zip(row_labels, self.tops, self.heights, strict=False):
            draw.text((left, y + height + 3), label, fill=style.faint, font=caption)
        return np.asarray(page, dtype=np.uint8)


def _running(start: int, sizes: Sequence[int], gap: int) -> tuple[int, ...]:
    positions = [start]
    for size in sizes[:-1]:
        positions.append(positions[-1] + size + gap)
    return tuple(positions)


def edit_sheet(inputs: Images, edits: Images, truth: Images | None, title: str = "", subtitle: str = "") -> Picture:
    """Return input | edit | true counterfactual | error ×4; without a truth, the change against the input ×4."""
    columns = [("input", inputs), ("edit", edits)]
    if truth is None:
        columns.append(("change x4", error_image(edits, inputs)))
    else:
        columns += [("true counterfactual", truth), ("error x4", error_image(edits, truth))]
    return sheet(columns, title=title, subtitle=subtitle)


def time_lapse(frames: Sequence[tuple[float, Images]], title: str = "", columns: int = TIME_LAPSE_COLUMNS) -> Picture:
    """Return the same seeds over training: a column per snapshot (kimg, N×H×W×3), a row per seed.

    Of more snapshots than `columns`, the first, the last and those evenly between are drawn. Raises ValueError where
    the snapshots are not in the order of their training.
    """
    times = [kimg for kimg, _ in frames]
    if times != sorted(set(times)):
        raise ValueError(f"snapshots stand at {times} kimg: expected each once, in order")
    count = min(columns, len(frames))
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    shown = [frames[place] for place in chosen.tolist()]
    captioned = [(f"{kimg:g} kimg" if kimg else "at the start", images) for kimg, images in shown]
    return sheet(captioned, title=title, subtitle="the same codes over training")


def write_png(path: Path, image: Picture) -> None:
    """Write an H×W×3 RGB picture as PNG."""
    path.write_bytes(encode_png(image))
