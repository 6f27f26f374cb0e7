"""A folder of photographs: what is taken, what goes to quarantine, who consented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.decoding import decode_image
from data.errors import UserError
from data.ingest import IngestConfig, ingest_photos
from data.manifest import SplitFractions, read_manifest, split_of
from data.quarantine import read_quarantine
from data.shards import iter_images


def _photo(path: Path, seed: int, size: tuple[int, int] = (80, 72)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def _granted(source: Path | str, **changes: object) -> IngestConfig:
    return IngestConfig(str(source), consent_default="granted", attested_by="A. Person", **changes)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good photos, and one of each bad kind."""
    photos = tmp_path / "photos"
    for index in range(4):
        _photo(photos / "album" / f"{index}.png", index)
    _photo(photos / "p.jpg", 9)
    (photos / "cut.jpg").write_bytes((photos / "p.jpg").read_bytes()[:-300])
    (photos / "notes.jpg").write_text("not an image")
    shutil.copy(photos / "p.jpg", photos / "q-copy.jpg")
    _photo(photos / "tiny.png", 3, (20, 90))
    Image.new("L", (9000, 12_000)).save(photos / "huge.png", compress_level=1)
    (photos / ".hidden.png").write_bytes(b"")
    return photos


def test_bad_files_go_to_quarantine_and_nothing_else_is_lost(folder: Path, tmp_path: Path) -> None:
    summary = ingest_photos(_granted(folder), tmp_path / "out")
    manifest, quarantine = read_manifest(tmp_path / "out"), read_quarantine(tmp_path / "out")
    assert set(manifest["source"]) == {"album/0.png", "album/1.png", "album/2.png", "album/3.png", "p.jpg"}
    assert dict(zip(quarantine["source"], quarantine["reason"], strict=True)) == {
        "cut.jpg": "truncated",
        "huge.png": "too_many_pixels",
        "notes.jpg": "not_an_image",
        "q-copy.jpg": "duplicate",
        "tiny.png": "too_small",
    }
    assert quarantine["expected"].str.len().min() > 0
    assert summary.count == 5
    assert sum(summary.quarantined.values()) == 5


def test_stored_pixels_are_the_photos_own(folder: Path, tmp_path: Path) -> None:
    ingest_photos(_granted(folder), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    for source, image in zip(manifest["source"], iter_images(tmp_path / "out", manifest), strict=True):
        assert np.array_equal(image, decode_image((folder / source).read_bytes()))


def test_payload_does_not_depend_on_processes_or_on_where_the_folder_is(folder: Path, tmp_path: Path) -> None:
    ingest_photos(_granted(folder), tmp_path / "one")
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "photos")
    ingest_photos(_granted(moved), tmp_path / "two", processes=2)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
        assert str(tmp_path).encode() not in (tmp_path / "one" / name).read_bytes()


def test_attestation_is_recorded_and_required(folder: Path, tmp_path: Path) -> None:
    ingest_photos(_granted(folder), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["consent"]["attested_by"] == "A. Person"
    assert set(read_manifest(tmp_path / "out")["consent_reason"]) == {"attested by A. Person"}
    with pytest.raises(UserError, match="nobody attests"):
        IngestConfig(str(folder), consent_default="granted")
    with pytest.raises(UserError, match="has consent"):
        ingest_photos(IngestConfig(str(folder)), tmp_path / "none")


def test_unknown_subject_is_one_subject_per_image(folder: Path, tmp_path: Path) -> None:
    ingest_photos(_granted(folder), tmp_path / "out")
    assert read_manifest(tmp_path / "out")["subject"].is_unique


def test_sidecar_gives_subjects_consent_and_attributes(folder: Path, tmp_path: Path) -> None:
    sidecar = folder / "people.csv"
    sidecar.write_text(
        "file,subject,licence,consent,attributes,consent_reason\n"
        "album/0.png,ann,CC-BY-4.0,granted,smile;beard,signed form 7\n"
        "album/1.png,ann,CC-BY-4.0,granted,,\n"
        "album/2.png,bob,CC-BY-4.0,withdrawn,,asked by letter\n"
        "album/3.png,bob,,,,\n"
    )
    ingest_photos(IngestConfig(str(folder), sidecar=sidecar), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out").set_index("source")
    assert sorted(manifest.index) == ["album/0.png", "album/1.png"]
    assert list(manifest.loc["album/0.png", "attributes"]) == ["beard", "smile"]
    assert manifest.loc["album/0.png", "consent_reason"] == "signed form 7"
    assert set(manifest["subject"]) == {"ann"}
    assert set(manifest["split"]) == {split_of("ann", SplitFractions())}
    refused = read_quarantine(tmp_path / "out").set_index("source")
    assert refused.loc["album/2.png", "reason"] == "withdrawn"
    assert "asked by letter" in refused.loc["album/2.png", "expected"]
    assert refused.loc["album/3.png", "reason"] == "no_consent"


def test_withdrawn_photo_does_not_come_in_under_another_name(folder: Path, tmp_path: Path) -> None:
    sidecar = tmp_path / "people.csv"
    sidecar.write_text("file,consent\nq-copy.jpg,withdrawn\n")
    ingest_photos(_granted(folder, sidecar=sidecar), tmp_path / "out")
    assert "p.jpg" not in set(read_manifest(tmp_path / "out")["source"])
    assert read_quarantine(tmp_path / "out").set_index("source").loc["p.jpg", "reason"] == "withdrawn"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,subjct\nalbum/0.png,ann\n", r"row 1: unknown column 'subjct'.*'subject'"),
        ("file;subject\nalbum/0.png;ann\n", r"row 1.*Separate columns by commas"),
        ("subject\nann\n", r"row 1.*Start with a line that names `file`"),
        ("file,subject\nalbum/0.pgn,ann\n", r"row 2: there is no file 'album/0.pgn'.*'album/0.png'"),
        ("file,consent\nalbum/0.png,yes\n", r"row 2: consent is 'yes'.*granted or withdrawn"),
        ("file,attributes\nalbum/0.png,Big Beard\n", r"row 2: 'Big Beard' is no attribute"),
        ("file,consent\nalbum/0.png,granted\nalbum/0.png,withdrawn\n", r"row 3: 'album/0.png' stands in it twice"),
        ("file,attributes\nalbum/0.png,beard,smile\n", r"row 2: more cells than columns"),
        ("file,consent_time\nalbum/0.png,yesterday\n", r"row 2: consent_time"),
    ],
)
def test_wrong_sidecar_names_the_row_and_what_to_write(folder: Path, tmp_path: Path, text: str, said: str) -> None:
    sidecar = tmp_path / "people.csv"
    sidecar.write_text(text)
    with pytest.raises(UserError, match=said):
        ingest_photos(_granted(folder, sidecar=sidecar), tmp_path / "out")


def test_glob_and_single_file_take_what_they_name(folder: Path, tmp_path: Path) -> None:
    ingest_photos(_granted(f"{folder}/album/[01].png"), tmp_path / "glob")
    assert set(read_manifest(tmp_path / "glob")["source"]) == {"0.png", "1.png"}
    ingest_photos(_granted(folder / "p.jpg"), tmp_path / "file")
    assert set(read_manifest(tmp_path / "file")["source"]) == {"p.jpg"}


def test_nothing_to_ingest_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no file in"):
        ingest_photos(_granted(tmp_path / "empty"), tmp_path / "a")
    with pytest.raises(UserError, match="no folder or file"):
        ingest_photos(_granted(tmp_path / "missing"), tmp_path / "b")
    for index in range(3):
        (tmp_path / "empty" / f"{index}.jpg").write_text(f"text {index}")
    with pytest.raises(UserError, match=r"No image is left of 3: 3 not_an_image \(0\.jpg"):
        ingest_photos(_granted(tmp_path / "empty"), tmp_path / "c")


def test_file_name_that_is_no_text_is_kept_readable(folder: Path, tmp_path: Path) -> None:
    _photo(folder / "x.png", 77).rename(folder / "na\udcffme.png")
    ingest_photos(_granted(folder), tmp_path / "out")
    assert "na\\xffme.png" in set(read_manifest(tmp_path / "out")["source"])
