"""A CSV that cannot be is refused with its file, its row and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from evaluation.protocols.pairs_csv import Columns, check_unique, read_table

COLUMNS = Columns(images=("output", "input", "mask"), texts=("subject",), required=("output", "input"))


def _read(tmp_path: Path, text: str) -> UserError:
    file = tmp_path / "pairs.csv"
    file.write_bytes(text.encode("utf-8"))
    with pytest.raises(UserError) as caught:
        check_unique(read_table(file, tmp_path, COLUMNS), "output")
    return caught.value


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "row 1: there is no column 'output'", "output, input"),
        ("output,input\n", "holds no row", "one row per image"),
        ("output,inptu\na,b\n", "row 1: unknown column 'inptu'", "Did you mean 'input'?"),
        ("output;input\na;b\n", "row 1: unknown column", "Separate columns by commas"),
        ("output,input,output\na,b,c\n", "'output' stands there twice", "Keep one"),
        ("output,subject\na,b\n", "row 1: there is no column 'input'", "output, input"),
        ("output,input\na,b,c\n", "row 2: 3 cells for 2 columns", "quotes"),
        ("output,input\na,b\nc,\n", "row 3: input is empty", "Every row needs it"),
        ("output,input\na,b\nc\n", "row 3: input is empty", "Every row needs it"),
        ("output,input,subject\na,b,NaN\n", "row 2: subject is 'NaN'", "missing value"),
        ("output,input,mask\na,b,m\nc,d,\n", "row 3: mask is empty", "leave the column out"),
        ("output,input\na,b\n\n./a,c\n", "row 4: output './a' stands in row 2 already", "Keep one of the rows"),
        ('output,input\na,"b\n', "row 2:", "Close every quoted cell"),
        ("output,input,slice:\na,b,c\n", "unknown column 'slice:'", "slice:<name>"),
        ("output,input\na,b\0\n", "not text", "UTF-8"),
    ],
)
def test_bad_csv_names_row_and_remedy(tmp_path: Path, text: str, message: str, hint: str) -> None:
    error = _read(tmp_path, text)
    assert message in error.message and "pairs.csv" in error.message
    assert hint in error.hint


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_table(tmp_path / "pairs.csv", tmp_path, COLUMNS)
    (tmp_path / "pairs.csv").write_bytes(b"output,input\n\xff\xfe,b\n")
    with pytest.raises(UserError, match="UTF-8"):
        read_table(tmp_path / "pairs.csv", tmp_path, COLUMNS)


def test_slices_and_defaults_are_read(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("\ufeffoutput, input ,subject,slice:light\na,b,,dark\nc,d,ann,\n", "utf-8")
    table = read_table(tmp_path / "pairs.csv", tmp_path, COLUMNS)
    assert table.slices == {"light": ("dark", "")}
    assert table.texts("subject", table.cells["input"]) == ("b", "ann")
    assert table.lines == (2, 3)
