"""What is withheld after ingest is in quarantine and nowhere else, by whichever name it is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data as skimage_data

from data.aligned import AlignmentConfig, align_images
from data.attribute_set import AttributeSetConfig, OwnFolder, attribute_images
from data.consent import WITHDRAWN_LATER, Withheld
from data.errors import UserError
from data.ingest import IngestConfig, ingest_photos
from data.manifest import SplitFractions, read_manifest
from data.quarantine import read_quarantine

NOBODY_HELD_OUT = SplitFractions(test=0, validation=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos of two people, a sidecar that says of whom, and who consented."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        small = np.random.default_rng(index).integers(0, 256, (6, 5, 3), np.uint8)
        Image.fromarray(small).resize((80, 72)).save(photos / f"{index}.png", compress_level=index + 1)
    lines = [f"{index}.png,person {index // 2},granted" for index in range(4)]
    (tmp_path / "sidecar.csv").write_text("file,subject,consent\n" + "\n".join(lines) + "\n")
    return photos


def _ingest(folder: Path, out: Path, withheld: Withheld) -> pd.DataFrame:
    config = IngestConfig(str(folder), sidecar=folder.parent / "sidecar.csv")
    ingest_photos(config, out, NOBODY_HELD_OUT, withheld=withheld)
    return read_manifest(out).set_index("source", drop=False)


@pytest.mark.parametrize("column", ["sha256", "source_sha256"])
def test_photo_is_withheld_by_its_file_and_by_its_stored_pixels(folder: Path, tmp_path: Path, column: str) -> None:
    before = _ingest(folder, tmp_path / "before", Withheld())
    assert before.loc["1.png", "sha256"] != before.loc["1.png", "source_sha256"]
    after = _ingest(folder, tmp_path / "after", Withheld(images=frozenset({before.loc["1.png", column]})))
    assert set(after.index) == {"0.png", "2.png", "3.png"}
    assert set(after["sha256"]) < set(before["sha256"])
    assert read_quarantine(tmp_path / "after").to_numpy().tolist() == [
        ["1.png", before.loc["1.png", column], "withdrawn", WITHDRAWN_LATER, "person 0"]
    ]
    shard = (tmp_path / "after" / "shards" / "00.tar").read_bytes()
    assert before.loc["1.png", "sha256"].encode() not in shard


def test_subject_is_withheld_with_every_photo_whatever_the_sidecar_says(folder: Path, tmp_path: Path) -> None:
    after = _ingest(folder, tmp_path / "after", Withheld(subjects=frozenset({"person 1"})))
    assert set(after.index) == {"0.png", "1.png"}
    assert read_quarantine(tmp_path / "after")["source"].tolist() == ["2.png", "3.png"]
    with pytest.raises(UserError, match="No image is left of 4: 4 withdrawn"):
        _ingest(folder, tmp_path / "none", Withheld(subjects=frozenset({"person 0", "person 1"})))


def test_nothing_withheld_leaves_the_bytes_alone(folder: Path, tmp_path: Path) -> None:
    _ingest(folder, tmp_path / "one", Withheld())
    _ingest(folder, tmp_path / "two", Withheld(images=frozenset({"0" * 64})))
    for name in ("manifest.parquet", "dataset.json", "quarantine.parquet", "shards/00.tar"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_own_folder_of_an_attribute_holds_nothing_withheld(tmp_path: Path) -> None:
    face = Image.fromarray(skimage_data.astronaut())
    (tmp_path / "photos").mkdir()
    face.save(tmp_path / "photos" / "one.png")
    face.crop((20, 0, 500, 480)).save(tmp_path / "photos" / "two.png")
    ingest = IngestConfig(str(tmp_path / "photos"), consent_default="granted", attested_by="A. Person")
    dlib = AlignmentConfig(detector="dlib")
    folder = OwnFolder(ingest, dlib, NOBODY_HELD_OUT)
    ingest_photos(ingest, tmp_path / "images", NOBODY_HELD_OUT)
    align_images(tmp_path / "images", tmp_path / "aligned", dlib)
    rows = read_manifest(tmp_path / "aligned").set_index("source")
    chosen = AttributeSetConfig("cheer", 1)
    for column in ("sha256", "parent", "source_sha256", "subject"):
        known = frozenset({rows.loc["one.png", column]})
        withheld = Withheld(subjects=known) if column == "subject" else Withheld(images=known)
        attribute_images(tmp_path / "aligned", tmp_path / column, chosen, folder, withheld=withheld)
        assert read_manifest(tmp_path / column)["source"].tolist() == ["two.png"], column
        assert read_quarantine(tmp_path / column)["reason"].tolist() == ["withdrawn"], column
    with pytest.raises(UserError, match="Only 1 training images"):
        attribute_images(
            tmp_path / "aligned", tmp_path / "few", AttributeSetConfig("cheer", 2), folder,
            withheld=Withheld(images=frozenset({rows.loc["one.png", "sha256"]})),
        )  # fmt: skip
