"""The rendered image set: deterministic, of the user's subjects, and alignable by its own landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.aligned import AlignmentConfig, align_images
from data.alignment import Template
from data.attribute_set import AttributeSetConfig, attribute_images
from data.errors import UserError
from data.expectations import validate_manifest
from data.manifest import SplitFractions, read_manifest
from data.render import ATTRIBUTES, USER, Scene, attributes, draw_subject, render
from data.rendered import RenderedConfig, render_images, scene_seed
from data.shards import read_images

CONFIG = RenderedConfig(count=72, images_per_subject=3, size_px=64, seed=5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "images"
    render_images(CONFIG, out, SplitFractions(test=0.3, validation=0.1))
    return out


def test_payload_is_the_same_from_two_processes(images: Path, tmp_path: Path) -> None:
    render_images(CONFIG, tmp_path / "again", SplitFractions(test=0.3, validation=0.1), processes=2)
    files = sorted(path.relative_to(images) for path in images.rglob("*") if path.is_file())
    assert [str(name) for name in files] == ["dataset.json", "manifest.parquet", "quarantine.parquet", "shards/00.tar"]
    for name in files:
        assert (images / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_manifest_satisfies_its_expectations(images: Path) -> None:
    manifest = read_manifest(images)
    result = validate_manifest("images", manifest, min_size_px=64)
    assert result.success, result.failed
    assert len(manifest) == 72
    assert manifest["subject"].nunique() == 24


def test_row_renders_again_from_its_own_scene(images: Path) -> None:
    rows = read_manifest(images).head(4)
    scenes = [Scene.from_json(text) for text in rows["scene"]]
    rendered = render(scenes, size_px=64)
    assert np.array_equal(rendered.images, read_images(images, rows))
    assert np.array_equal(rendered.landmarks.reshape(4, 10), np.stack(list(rows["landmarks"])))
    for scene, row in zip(scenes, rows.to_dict("records"), strict=True):
        assert set(row["attributes"]) == {name for name in ATTRIBUTES if attributes(scene)[name]}
        subject = int(row["subject"].removeprefix("renderer:"))
        assert subject in USER
        assert scene.subject == draw_subject(subject)


def test_more_images_leave_the_first_ones_alone(images: Path, tmp_path: Path) -> None:
    render_images(RenderedConfig(count=75, images_per_subject=3, size_px=64, seed=5), tmp_path / "more")
    assert set(read_manifest(images)["sha256"]) < set(read_manifest(tmp_path / "more")["sha256"])


def test_scenes_of_two_seeds_or_subjects_differ() -> None:
    seeds = {scene_seed(seed, subject, index) for seed in (0, 1) for subject in (7, 8) for index in (0, 1)}
    assert len(seeds) == 8


def test_subjects_of_the_judges_cannot_be_asked_for() -> None:
    with pytest.raises(UserError, match="belongs to the shipped weights or the judges"):
        RenderedConfig(first_subject=1_500_000)


def test_renders_align_by_their_own_landmarks(images: Path, tmp_path: Path) -> None:
    summary = align_images(images, tmp_path / "aligned", AlignmentConfig(size_px=48))
    manifest = read_manifest(tmp_path / "aligned")
    assert summary.count == 72
    assert dict(summary.splits) == manifest["split"].value_counts().to_dict()
    result = validate_manifest("aligned_images", manifest, size_px=48, template=Template())
    assert result.success, result.failed
    parents = read_manifest(images).set_index("sha256")
    assert list(manifest["scene"]) == list(parents.loc[manifest["parent"], "scene"])


def test_attribute_set_holds_no_held_out_subject(images: Path, tmp_path: Path) -> None:
    align_images(images, tmp_path / "aligned", AlignmentConfig(size_px=48), processes=2)
    attribute_images(tmp_path / "aligned", tmp_path / "beard", AttributeSetConfig("beard", minimum=3))
    aligned, manifest = read_manifest(tmp_path / "aligned"), read_manifest(tmp_path / "beard")
    has = aligned[["beard" in set(names) for names in aligned["attributes"]]]
    assert set(manifest["sha256"]) == set(has[has["split"] == "train"]["sha256"])
    assert 0 < len(manifest) < len(has), "the test is about beards that are held out too"
    result = validate_manifest("attribute_images", manifest, size_px=48, template=Template(), attribute="beard")
    assert result.success, result.failed
