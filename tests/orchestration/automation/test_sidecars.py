"""A sidecar in a subfolder speaks for what lies there, at ingest and at a purge."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from data.errors import UserError
from data.ingest import IngestConfig, ingest_photos
from data.manifest import read_manifest
from data.quarantine import read_quarantine
from orchestration.automation.inbox_files import InboxFiles
from orchestration.consent.photographs import photographs, remove_photographs
from tests.orchestration.automation.drops import bare, photo

ROW = "file,subject,consent\n{},{},granted\n"


def ingest(root: Path, **changes: object) -> Path:
    config = IngestConfig(str(root / "photos"), **changes)  # type: ignore[arg-type]
    ingest_photos(config, root / "out")
    return root / "out"


def test_batch_brings_its_own_sidecar(tmp_path: Path) -> None:
    for name in ("a.png", "batch-1/a.png", "batch-1/b.png"):
        photo(tmp_path / "photos" / name, len(name) + ord(name[-5]))
    (tmp_path / "people.csv").write_text(ROW.format("a.png", "ada"))
    (tmp_path / "photos" / "batch-1" / "sidecar.csv").write_text(ROW.format("a.png", "bob"))
    out = ingest(tmp_path, sidecar=tmp_path / "people.csv")
    rows = read_manifest(out)
    assert dict(zip(rows["source"], rows["subject"], strict=True)) == {"a.png": "ada", "batch-1/a.png": "bob"}
    assert list(read_quarantine(out)["source"]) == ["batch-1/b.png"]  # of it nobody speaks, and the default is no


def test_two_sidecars_must_not_speak_of_one_photograph(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "batch-1" / "a.png", 1)
    (tmp_path / "people.csv").write_text(ROW.format("batch-1/a.png", "ada"))
    (tmp_path / "photos" / "batch-1" / "sidecar.csv").write_text(ROW.format("a.png", "bob"))
    with pytest.raises(UserError, match=r"batch-1/sidecar.csv: another sidecar speaks of 'a.png' too"):
        ingest(tmp_path, sidecar=tmp_path / "people.csv")


def test_wrong_row_of_a_batch_names_the_batch(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "batch-1" / "a.png", 1)
    (tmp_path / "photos" / "batch-1" / "sidecar.csv").write_text(ROW.format("b.png", "bob"))
    with pytest.raises(UserError, match=r"batch-1/sidecar.csv, row 2: there is no file 'b.png'"):
        ingest(tmp_path, consent_default="granted", attested_by="A. Person")


def test_purge_removes_the_photograph_from_the_batch_the_inbox_and_both_sidecars(tmp_path: Path) -> None:
    ws = bare(tmp_path)
    for folder in ("photos/batch-1", "inbox"):
        photo(tmp_path / folder / "a.png", 77)
        photo(tmp_path / folder / "b.png", 78)
        (tmp_path / folder / "sidecar.csv").write_text(ROW.format("a.png", "ada") + "b.png,bob,granted\n")
    gone = hashlib.sha256((tmp_path / "inbox" / "a.png").read_bytes()).hexdigest()
    found = list(photographs(ws, ws.params(), {gone}, None))
    assert {one.path for one in found} == {
        "photos/batch-1/a.png", "photos/batch-1/sidecar.csv", "inbox/a.png", "inbox/sidecar.csv"
    }  # fmt: skip
    remove_photographs(ws, found)
    assert sorted(InboxFiles.at("inbox", tmp_path).stamps()) == ["b.png", "sidecar.csv"]
    for folder in ("photos/batch-1", "inbox"):
        assert (tmp_path / folder / "sidecar.csv").read_text() == "file,subject,consent\nb.png,bob,granted\n"
