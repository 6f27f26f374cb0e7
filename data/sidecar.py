"""The sidecar: a CSV that says of each photograph whose it is, under which licence, with what consent."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from data.errors import UserError
from data.photo_files import SIDECAR_NAME, PhotoFiles

COLUMNS = ("file", "subject", "licence", "consent", "attributes", "category", "consent_reason", "consent_time")
CONSENTS = ("granted", "withdrawn")
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,47}")


@dataclass(frozen=True)
class SidecarRow:
    """What the sidecar says of one file; None where its cell is empty."""

    file: str
    subject: str | None = None
    licence: str | None = None
    consent: str | None = None
    attributes: tuple[str, ...] = ()
    category: str | None = None
    consent_reason: str | None = None
    consent_time: str | None = None


def read_sidecars(sidecar: Path | None, found: PhotoFiles) -> dict[str, SidecarRow]:
    """The rows of the source's own sidecar, if it has one, and of those in its subfolders, by file name.

    Raises UserError as `read_sidecar` does, and for a file of which two sidecars speak.
    """
    rows = read_sidecar(sidecar, found.photos) if sidecar else {}
    for name, path in found.sidecars.items():
        folder = name.removesuffix(SIDECAR_NAME)
        below = [photo.removeprefix(folder) for photo in found.photos if photo.startswith(folder)]
        for file, row in read_sidecar(Path(path), below, name).items():
            if folder + file in rows:
                raise UserError(f"{name}: another sidecar speaks of {file!r} too.", "Keep one of the rows.")
            rows[folder + file] = replace(row, file=folder + file)
    return rows


def read_sidecar(path: Path, files: Iterable[str], shown: str = "") -> dict[str, SidecarRow]:
    """The sidecar's rows by file name. `files` are the names that may stand in it, relative to the source folder.

    `shown` is what errors call it, by default its name. Raises UserError, naming the row, for a column, a file, a
    consent, a time or an attribute that cannot be.
    """
    known, shown = set(files), shown or path.name
    rows: dict[str, SidecarRow] = {}
    for line, cells in _records(path, shown):
        row = _parse(cells, f"{shown}, row {line}")
        if row.file not in known:
            raise UserError(f"{shown}, row {line}: there is no file {row.file!r}.", _did_you_mean(row.file, known))
        if row.file in rows:
            raise UserError(f"{shown}, row {line}: {row.file!r} stands in it twice.", "Keep one of the rows.")
        rows[row.file] = row
    return rows


def _records(path: Path, shown: str) -> list[tuple[int, Mapping[str, str]]]:
    """(line number, cells) of each row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The sidecar {path} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
    _check_columns(shown, reader.fieldnames or ())
    rows: list[tuple[int, Mapping[str, str]]] = []
    for cells in reader:
        if "" in cells:
            raise UserError(
                f"{shown}, row {reader.line_num}: more cells than columns.",
                "Separate attributes by semicolons, and put cells with commas in quotes.",
            )
        rows.append((reader.line_num, cells))
    return rows


def _check_columns(shown: str, columns: Iterable[str]) -> None:
    present = tuple(columns)
    for column in present:
        if column not in COLUMNS:
            hint = "Separate columns by commas." if ";" in column else _did_you_mean(column, COLUMNS)
            raise UserError(f"{shown}, row 1: unknown column {column!r}.", hint)
    if "file" not in present or len(set(present)) < len(present):
        raise UserError(
            f"{shown}, row 1: the columns are {', '.join(present) or 'none'}.",
            f"Start with a line that names `file` and any of {', '.join(COLUMNS[1:])}, each once.",
        )


def _parse(cells: Mapping[str, str], where: str) -> SidecarRow:
    said = {column: value.strip() or None for column, value in cells.items()}
    attributes = tuple(sorted({name.strip() for name in (said.get("attributes") or "").split(";")} - {""}))
    row = SidecarRow(
        said["file"] or "", said.get("subject"), said.get("licence"), said.get("consent"), attributes,
        said.get("category"), said.get("consent_reason"), said.get("consent_time"),
    )  # fmt: skip
    if row.consent not in (None, *CONSENTS):
        raise UserError(f"{where}: consent is {row.consent!r}.", f"Write {' or '.join(CONSENTS)}, or leave it empty.")
    for attribute in attributes:
        if not _SLUG.fullmatch(attribute):
            raise UserError(
                f"{where}: {attribute!r} is no attribute's name.",
                "Write small letters, digits and underscores, and semicolons between two attributes.",
            )
    _check_time(row.consent_time, where)
    return row


def _check_time(time: str | None, where: str) -> None:
    if time is None:
        return
    try:
        datetime.fromisoformat(time)
    except ValueError as error:
        raise UserError(f"{where}: consent_time is {time!r}.", "Write it as 2025-01-31 or 2025-01-31T12:00.") from error


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, sorted(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else "Names are relative to the source folder, with forward slashes."
