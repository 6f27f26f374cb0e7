"""The CSV beside a folder of images: which image answers which, row by row, and every way it can be wrong."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError

SLICE = "slice:"
MISSING_VALUES = frozenset({"nan", "null", "none", "n/a", "#n/a", "<na>"})


@dataclass(frozen=True)
class Columns:
    """The columns of one protocol's CSV: those that name image files, those that hold words, those it must have."""

    images: tuple[str, ...]
    texts: tuple[str, ...]
    required: tuple[str, ...]
    slices: bool = True

    @property
    def known(self) -> tuple[str, ...]:
        """All columns but the slices."""
        return (*self.images, *self.texts)


@dataclass(frozen=True)
class Table:
    """A CSV that was checked: `cells` holds each column's N cells, `lines` the line each row ends on.

    `folder` is what the image files' names are relative to.
    """

    file: Path
    folder: Path
    cells: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, column: str) -> bool:
        return column in self.cells

    @property
    def slices(self) -> dict[str, tuple[str, ...]]:
        """Dimension → N labels, from the columns `slice:<dimension>`; an empty label is unknown."""
        return {name.removeprefix(SLICE): cells for name, cells in self.cells.items() if name.startswith(SLICE)}

    def where(self, row: int) -> str:
        """The place of a row for an error: file and line."""
        return f"{self.file.name}, row {self.lines[row]}"

    def texts(self, column: str, otherwise: Sequence[str]) -> tuple[str, ...]:
        """A column's cells, each empty or absent one replaced by that of `otherwise` (N)."""
        cells = self.cells.get(column, ("",) * len(self))
        return tuple(cell or other for cell, other in zip(cells, otherwise, strict=True))


def read_table(file: Path, folder: Path, columns: Columns) -> Table:
    """Read and check a CSV (UTF-8, commas, a first line of column names).

    Raises UserError that names file and row: no file, no row, an unknown or doubled column, a missing one, too many
    cells, a required cell that is empty, a cell that a spreadsheet filled with NaN, a column of images given for some
    rows only.
    """
    reader = csv.reader(io.StringIO(_text(file, columns), newline=""), strict=True)
    names = _header(file, reader, columns)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(_row(f"{file.name}, row {reader.line_num}", names, cells, columns))
                lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{file.name}, row {reader.line_num}: {error}.", "Close every quoted cell.") from error
    if not rows:
        raise UserError(f"{file} holds no row.", "Give one row per image below the line of column names.")
    table = Table(file, folder, dict(zip(names, zip(*rows, strict=True), strict=True)), tuple(lines))
    _check_given_for_all(table, columns)
    return table


def check_unique(table: Table, column: str) -> None:
    """Raise UserError where two rows name the same file in `column`: one image cannot be two results."""
    seen: dict[Path, int] = {}
    for row, cell in enumerate(table.cells[column]):
        path = (table.folder / cell).resolve()
        if path in seen:
            said = f"{table.where(row)}: {column} {cell!r} stands in row {table.lines[seen[path]]} already."
            raise UserError(said, "Keep one of the rows.")
        seen[path] = row


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A hint with the nearest known name, or with all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names) or 'none'}."


def _text(file: Path, columns: Columns) -> str:
    if not file.is_file():
        raise UserError(f"There is no file {file}.", f"It needs the columns {', '.join(columns.required)}.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    if "\0" in text:
        raise UserError(f"{file} is not text: it holds zero bytes.", "Give a CSV file in UTF-8.")
    return text


def _header(file: Path, reader: Iterable[list[str]], columns: Columns) -> list[str]:
    names = [name.strip() for name in next(iter(reader), [])]
    where = f"{file.name}, row 1"
    for name in names:
        slice_column = columns.slices and name.startswith(SLICE) and len(name) > len(SLICE)
        if name not in columns.known and not slice_column:
            hint = "Separate columns by commas." if ";" in name else _column_hint(name, columns)
            raise UserError(f"{where}: unknown column {name!r}.", hint)
        if names.count(name) > 1:
            raise UserError(f"{where}: the column {name!r} stands there twice.", "Keep one of them.")
    missing = [name for name in columns.required if name not in names]
    if missing:
        raise UserError(
            f"{where}: there is no column {missing[0]!r} (there are: {', '.join(names) or 'none'}).",
            f"Start with a line that names {', '.join(columns.required)}.",
        )
    return names


def _column_hint(name: str, columns: Columns) -> str:
    more = f" Slices stand in columns {SLICE}<name>." if columns.slices else ""
    return did_you_mean(name, columns.known) + more


def _row(where: str, names: Sequence[str], cells: Sequence[str], columns: Columns) -> tuple[str, ...]:
    said = [cell.strip() for cell in cells]
    if len(said) > len(names):
        raise UserError(f"{where}: {len(said)} cells for {len(names)} columns.", "Put cells with commas in quotes.")
    said += [""] * (len(names) - len(said))
    for name, cell in zip(names, said, strict=True):
        if cell.lower() in MISSING_VALUES:
            hint = "It stands for a missing value: give the value, or leave an optional cell empty."
            raise UserError(f"{where}: {name} is {cell!r}.", hint)
        if not cell and name in columns.required:
            raise UserError(f"{where}: {name} is empty.", "Every row needs it.")
    return tuple(said)


def _check_given_for_all(table: Table, columns: Columns) -> None:
    for name in columns.images:
        cells = table.cells.get(name, ())
        if "" in cells:
            place = table.where(cells.index(""))
            raise UserError(f"{place}: {name} is empty.", "Give it in every row, or leave the column out.")
