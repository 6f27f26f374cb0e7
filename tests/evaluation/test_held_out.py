"""Held-out faces are unseen, lack the attribute, and their truth differs from them only where it may."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from data.manifest import read_manifest, write_manifest
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
