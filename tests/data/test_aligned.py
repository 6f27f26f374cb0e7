"""From photographs to aligned crops, with dlib's landmarks on a real face."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data

from data.aligned import AlignmentConfig, align_images
from data.alignment import Template, align
from data.attribute_set import AttributeSetConfig, OwnFolder, attribute_images
from data.errors import UserError
from data.expectations import validate_manifest
from data.image_set import read_dataset
from data.ingest import IngestConfig, ingest_photos
from data.landmarks import DlibDetector, dlib_detector, reference_distance
from data.manifest import SplitFractions, read_manifest
from data.quarantine import read_quarantine
from data.shards import read_images

# Measured by eye on the picture, to within two pixels.
EYES = np.array([[203, 102], [246, 104]])
DLIB = AlignmentConfig(detector="dlib")
NOBODY_HELD_OUT = SplitFractions(test=0, validation=0)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingested: one face, one photo with two, a smaller one of a face, one of nobody."""
    root = tmp_path_factory.mktemp("photos")
    astronaut = Image.fromarray(skimage_data.astronaut())
    face = astronaut.crop((100, 0, 356, 256))
    astronaut.save(root / "one.png")
    pair = Image.new("RGB", (600, 512))
    pair.paste(astronaut.crop((50, 0, 350, 512)), (0, 0))
    pair.paste(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (330, 100))
    pair.save(root / "two.png")
    Image.fromarray(skimage_data.coffee()).save(root / "coffee.png")
    config = IngestConfig(str(root), consent_default="granted", attested_by="A. Person")
    ingest_photos(config, root / ".images", NOBODY_HELD_OUT, attributes=("smile",))
    return root / ".images"


def test_dlib_finds_both_eyes_left_first() -> None:
    (face,) = dlib_detector().detect(skimage_data.astronaut())
    assert np.abs(face.landmarks[:2] - EYES).max() < 3.0
    assert np.isnan(face.landmarks[3:]).all()
    assert face.box[0] < EYES[0, 0] < EYES[1, 0] < face.box[2]


def test_landmarks_scale_with_a_large_photo() -> None:
    """Above the detection size the search runs on a smaller copy; landmarks stay those of the photo."""
    large = np.asarray(Image.fromarray(skimage_data.astronaut()).resize((2048, 2048), Image.Resampling.BICUBIC))
    (face,) = dlib_detector().detect(large)
    assert np.abs(face.landmarks[:2] / 4 - EYES).max() < 3.0


def test_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_dlib(name: str, *rest: Any) -> Any:
        if name == "dlib":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_dlib)
    with pytest.raises(UserError, match=r"editloom\[photos\]"):
        DlibDetector()


def test_photo_without_a_face_goes_to_quarantine(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "out", DLIB)
    manifest, refused = read_manifest(tmp_path / "out"), read_quarantine(tmp_path / "out")
    assert set(manifest["source"]) == {"one.png", "two.png"}
    assert list(zip(refused["source"], refused["reason"], strict=True)) == [("coffee.png", "no_face")]
    result = validate_manifest("aligned_images", manifest, size_px=64, template=Template())
    assert result.success, result.failed


def test_all_faces_of_a_photo_stay_in_its_split(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "out", AlignmentConfig(detector="dlib", multiple_faces="all"))
    manifest = read_manifest(tmp_path / "out")
    pair = manifest[manifest["source"] == "two.png"]
    assert len(pair) == 2
    assert pair["split"].nunique() == 1
    assert pair["subject"].nunique() == 2


def test_crop_is_its_parent_through_the_recorded_transform(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "out", DLIB)
    parents = read_manifest(images).set_index("sha256", drop=False)
    manifest = read_manifest(tmp_path / "out")
    crops = read_images(tmp_path / "out", manifest)
    for crop, row in zip(crops, manifest.to_dict("records"), strict=True):
        parent = read_images(images, parents.loc[[row["parent"]]])[0]
        assert (row["parent_height"], row["parent_width"]) == parent.shape[:2]
        assert np.array_equal(crop, align(parent, np.reshape(row["transform"], (2, 3)), 64))


def test_reference_image_gives_the_template(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "out", AlignmentConfig(detector="dlib", reference="one.png"))
    template = read_dataset(tmp_path / "out")["template"]
    assert isinstance(template, dict)
    assert np.abs(np.array([template["left_eye"], template["right_eye"]]) * 512 - EYES).max() < 3.5
    manifest = read_manifest(tmp_path / "out")
    row = manifest[manifest["source"] == "one.png"].iloc[0]
    turned = np.reshape(row["transform"], (2, 3))[:, :2]
    np.testing.assert_allclose(turned, np.eye(2) / 8, atol=1e-5)  # the template has six digits
    with pytest.raises(UserError, match="neither an image of the set nor a file"):
        align_images(images, tmp_path / "no", AlignmentConfig(detector="dlib", reference="nobody.png"))
    with pytest.raises(UserError, match="no face in the reference"):
        align_images(images, tmp_path / "no", AlignmentConfig(detector="dlib", reference="coffee.png"))


def test_photographs_without_a_detector_are_a_users_error(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Set aligned_images\.detector to dlib"):
        align_images(images, tmp_path / "out", AlignmentConfig())


def test_face_too_small_goes_to_quarantine(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 face_too_small, 1 no_face"):
        align_images(images, tmp_path / "out", AlignmentConfig(detector="dlib", min_inter_ocular_px=60))


def test_attribute_images_are_the_training_rows_that_have_it(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "aligned", DLIB)
    attribute_images(tmp_path / "aligned", tmp_path / "smile", AttributeSetConfig("smile", minimum=2))
    manifest = read_manifest(tmp_path / "smile")
    assert list(manifest["sha256"]) == list(read_manifest(tmp_path / "aligned")["sha256"])
    result = validate_manifest("attribute_images", manifest, size_px=64, template=Template(), attribute="smile")
    assert result.success, result.failed
    with pytest.raises(UserError, match=r"Only 0 training images have the attribute 'beard'.*smile"):
        attribute_images(tmp_path / "aligned", tmp_path / "beard", AttributeSetConfig("beard", minimum=2))


def test_folder_of_its_own_becomes_an_attribute_set(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "aligned", DLIB)
    ingest = IngestConfig(str(images.parent), consent_default="granted", attested_by="A. Person")
    folder = OwnFolder(ingest, DLIB, NOBODY_HELD_OUT)
    summary = attribute_images(tmp_path / "aligned", tmp_path / "out", AttributeSetConfig("cheer", 2), folder)
    assert summary.count == 2
    assert summary.quarantined == {"no_face": 1}
    assert all("cheer" in names for names in read_manifest(tmp_path / "out")["attributes"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aligned", "out"], "no scratch stays behind"


def test_reference_distance_is_the_distance_of_the_eyes() -> None:
    assert reference_distance(np.array([[0, 0], [3, 4]], np.float32)) == 5
