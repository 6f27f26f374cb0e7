"""Held-out faces are unseen, lack the attribute, and their truth differs from them only where it may."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from data.aligned import AlignmentConfig, align_images
from data.categories import VEHICLE
from data.errors import UserError
from data.manifest import SplitFractions, read_manifest, write_manifest
from data.rendered import RenderedConfig, render_images
from evaluation.held_out import dilate, held_out_set


def test_only_test_split_faces_without_the_attribute_are_taken(aligned_dir: Path) -> None:
    held_out = held_out_set(aligned_dir, "beard")
    rows = read_manifest(aligned_dir).set_index("sha256").loc[list(held_out.sha256s)]
    assert set(rows["split"]) == {"test"}
    assert not any("beard" in names for names in rows["attributes"])
    assert len(held_out.reference.images) > 0
    assert len(held_out_set(aligned_dir, "beard", limit=3)) == 3


def test_truth_keeps_the_face_outside_the_mask(aligned_dir: Path) -> None:
    held_out = held_out_set(aligned_dir, "glasses")
    assert held_out.counterfactuals is not None and held_out.outside is not None
    change = np.abs(held_out.inputs.astype(int) - held_out.counterfactuals).max(axis=3)
    outside, inside = change[held_out.outside], change[~held_out.outside]
    # Same scene, size and transform: outside, only the edge's antialiasing and soft shadows may move.
    assert outside.mean() < 0.5 < 10 < inside.mean()
    assert 0.3 < held_out.outside.mean() < 0.98


def test_slices_come_from_scenes_and_of_photographs_from_labels(aligned_dir: Path, tmp_path: Path) -> None:
    rendered = held_out_set(aligned_dir, "beard")
    assert {"skin tone", "hair style", "light"} <= set(rendered.slices)
    assert all(len(labels) == len(rendered) for labels in rendered.slices.values())
    shutil.copytree(aligned_dir, tmp_path / "aligned")
    manifest = read_manifest(aligned_dir)
    manifest["scene"] = None
    write_manifest(manifest, tmp_path / "aligned")
    photos = held_out_set(tmp_path / "aligned", "beard")
    assert photos.counterfactuals is None and "skin tone" not in photos.slices and "short hair" in photos.slices


def test_vehicles_have_a_truth_of_their_own(tmp_path: Path) -> None:
    """A roof box appears on the roof; outside, only what the crop's resampling rings may move (measured: 1 level)."""
    config = RenderedConfig(
        count=24, images_per_subject=2, size_px=64, first_subject=VEHICLE.seeds.user.start, category="vehicle"
    )
    render_images(config, tmp_path / "images", SplitFractions(test=0.8, validation=0.05))
    alignment = AlignmentConfig(size_px=32, template=VEHICLE.template, category="vehicle")
    align_images(tmp_path / "images", tmp_path / "aligned", alignment)
    held_out = held_out_set(tmp_path / "aligned", "roof_box", of="vehicle")
    assert held_out.counterfactuals is not None and held_out.outside is not None and held_out.category == "vehicle"
    change = np.abs(held_out.inputs.astype(int) - held_out.counterfactuals).max(axis=3)
    assert change[held_out.outside].max() <= 4 < 20 < change[~held_out.outside].mean()
    with pytest.raises(UserError, match="'roof_box' has no region"):
        held_out_set(tmp_path / "aligned", "roof_box")


def test_images_of_another_renderer_version_are_refused(aligned_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(aligned_dir, tmp_path / "aligned")
    manifest = read_manifest(aligned_dir)
    # The scene of another image: what a changed renderer would draw, from the report's point of view.
    manifest["scene"] = np.roll(manifest["scene"].to_numpy(), 1)
    write_manifest(manifest, tmp_path / "aligned")
    with pytest.raises(UserError, match="another version of the renderer"):
        held_out_set(tmp_path / "aligned", "beard", limit=4)


def test_unknown_attribute_and_missing_manifest_are_told_apart(aligned_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="moustaches"):
        held_out_set(aligned_dir, "moustaches")
    with pytest.raises(UserError, match=r"manifest\.parquet"):
        held_out_set(tmp_path, "beard")


def test_mask_grows_by_one_pixel_in_all_directions() -> None:
    mask = np.zeros((1, 5, 5), dtype=bool)
    mask[0, 2, 2] = True
    assert dilate(mask, 1)[0].sum() == 9


def test_combined_attribute_is_lacked_in_every_part_and_gained_in_every_part(aligned_dir: Path) -> None:
    held_out = held_out_set(aligned_dir, "beard+glasses")
    rows = read_manifest(aligned_dir).set_index("sha256").loc[list(held_out.sha256s)]
    assert len(rows) and not any({"beard", "glasses"} & set(names) for names in rows["attributes"])
    beard, glasses = (held_out_set(aligned_dir, name) for name in ("beard", "glasses"))
    assert held_out.outside is not None and beard.outside is not None and glasses.outside is not None
    row, first = held_out.sha256s[0], 0
    # The regions of both parts may change; hair that the glasses' bows cover is why not exactly the union.
    union = beard.outside[beard.sha256s.index(row)] & glasses.outside[glasses.sha256s.index(row)]
    assert (held_out.outside[first] == union).mean() > 0.99
