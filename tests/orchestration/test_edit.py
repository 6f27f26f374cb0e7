"""Editing photos: what is outside the crop stays, what cannot be edited is told, and nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from data.alignment import similarity, transform_points
from data.errors import UserError
from data.landmarks import DlibDetector
from data.png import Pixels
from orchestration.edit import edit_photos, edit_with_release, plan_files
from orchestration.photo_edit import Alignment, EditOptions, PhotoEditor
from orchestration.tracking import open_tracker
from orchestration.workspace import Workspace


def darker(images: Tensor) -> Tensor:
    """An edit that is easy to find again: everything in the crop gets darker by 0.3 of the range -1..1."""
    return (images - 0.3).clamp(-1, 1)


@pytest.fixture(scope="module")
def face() -> Pixels:
    """The one photograph of a face that scikit-image ships."""
    return np.asarray(skimage.data.astronaut(), np.uint8)


@pytest.fixture(scope="module")
def detector() -> DlibDetector:
    pytest.importorskip("dlib", reason="the extra `photos` is not installed")
    return DlibDetector()


def photo_editor(
    detector: DlibDetector | None, options: EditOptions | None = None, edit: Callable[[Tensor], Tensor] = darker
) -> PhotoEditor:
    return PhotoEditor(edit, detector, Alignment(), options or EditOptions())


def test_photo_outside_the_crop_stays_bit_for_bit(face: Pixels, detector: DlibDetector) -> None:
    edited = photo_editor(detector).edit(face)
    assert edited.shape == face.shape
    landmarks = detector.detect(face)[0].landmarks
    transform = similarity(landmarks, Alignment().template, 64)
    ys, xs = np.nonzero((edited != face).any(axis=2))
    crop = transform_points(np.stack([xs + 0.5, ys + 0.5], axis=1).astype(np.float64), transform)
    assert crop.min() >= -1 and crop.max() <= 65  # within the crop and one of its pixels, for the interpolation
    x, y = landmarks[:2].mean(axis=0).astype(int)
    change = face[y, x].astype(int) - edited[y, x]
    assert np.abs(change - 0.3 * 127.5).max() <= 2  # 8-bit rounding of the crop and of the photo


def test_editor_that_changes_nothing_returns_the_photo(face: Pixels, detector: DlibDetector) -> None:
    """Only the change is enlarged and pasted: the photo's own detail does not pass through a 64-pixel crop."""
    same = photo_editor(detector, edit=lambda images: images).edit(face)
    assert np.array_equal(same, face)


def test_aligned_crop_of_the_editors_size_is_edited_whole() -> None:
    crop = np.full((64, 64, 3), 200, np.uint8)
    edited = photo_editor(None, EditOptions(aligned=True)).edit(crop)
    assert np.abs(edited.astype(int) - (200 - 0.3 * 127.5)).max() <= 1


def test_larger_aligned_crop_keeps_its_size() -> None:
    crop = np.full((160, 160, 3), 200, np.uint8)
    edited = photo_editor(None, EditOptions(aligned=True)).edit(crop)
    assert edited.shape == crop.shape
    assert abs(int(edited[80, 80, 0]) - (200 - 0.3 * 127.5)) <= 1


def test_side_by_side_has_the_photo_on_its_left(face: Pixels, detector: DlibDetector, tmp_path: Path) -> None:
    Image.fromarray(face).save(tmp_path / "in.png")
    result = photo_editor(detector, EditOptions(side_by_side=True)).edit_file(tmp_path / "in.png", tmp_path / "out.png")
    both = np.asarray(Image.open(tmp_path / "out.png"))
    assert result.written == tmp_path / "out.png"
    assert both.shape == (face.shape[0], 2 * face.shape[1], 3)
    assert np.array_equal(both[:, : face.shape[1]], face)


def test_turned_photo_comes_out_upright(face: Pixels, detector: DlibDetector, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture is stored turned by 90°
    Image.fromarray(np.rot90(face)).save(tmp_path / "in.png", exif=exif)
    assert photo_editor(detector).edit_file(tmp_path / "in.png", tmp_path / "out.png").written
    upright = photo_editor(detector).edit(face)
    out = Image.open(tmp_path / "out.png")
    assert np.array_equal(np.asarray(out), upright)
    assert 0x0112 not in out.getexif()


def test_bad_photos_are_told_and_the_others_go_on(face: Pixels, detector: DlibDetector, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    Image.fromarray(face).save(photos / "deep" / "face.jpg", quality=95)
    (photos / "truncated.jpg").write_bytes((photos / "deep" / "face.jpg").read_bytes()[:4000])
    (photos / "text.jpg").write_text("not an image")
    Image.fromarray(np.full((300, 300, 3), 128, np.uint8)).save(photos / "empty.png")
    results = edit_photos(photo_editor(detector), plan_files(photos, tmp_path / "out"))
    said = {r.source.name: r.reason.split(":")[0] for r in results}
    assert said == {"face.jpg": "", "truncated.jpg": "truncated", "text.jpg": "not_an_image", "empty.png": "no_face"}
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["face.jpg"]
    assert (tmp_path / "out" / "deep" / "face.jpg").is_file()


def test_aligned_photo_that_is_not_square_is_told(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 80, 3), np.uint8)).save(tmp_path / "in.png")
    result = photo_editor(None, EditOptions(aligned=True)).edit_file(tmp_path / "in.png", tmp_path / "out.png")
    assert result.written is None and "80×64" in result.reason


def test_input_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for target in (tmp_path / "a.png", tmp_path):
        with pytest.raises(UserError, match="would replace"):
            plan_files(tmp_path / "a.png", target)
    with pytest.raises(UserError, match="would replace"):
        plan_files(tmp_path, tmp_path)


def test_outputs_inside_the_input_folder_are_not_edited_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").touch()
    assert [source for source, _ in plan_files(tmp_path, tmp_path / "out")] == [tmp_path / "a.png"]


def test_photos_of_one_name_in_two_formats_keep_apart(tmp_path: Path) -> None:
    for name in ("a.gif", "a.png", "a.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    targets = {target.name for _, target in plan_files(tmp_path / "in", tmp_path / "out")}
    assert targets == {"a.gif.png", "a.png", "a.jpg"}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("nowhere.png", "out.png", "does not exist"), ("a.png", "out.xyz", "no format"), ("folder", "out", "no photo")],
)
def test_impossible_files_are_told_before_anything_is_done(
    tmp_path: Path, source: str, target: str, expected: str
) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    with pytest.raises(UserError, match=expected):
        plan_files(tmp_path / source, tmp_path / target)


def test_attribute_without_an_editor_says_how_to_make_it(workspace: Workspace, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "in.png")
    console, options = Console(file=StringIO()), EditOptions(aligned=True)
    for attribute, remedy in (("beard", "editloom run --partition beard"), ("hat", "hat: {}")):
        with pytest.raises(UserError) as caught:
            edit_with_release(workspace, attribute, tmp_path / "in.png", tmp_path / "out.png", options, console)
        assert remedy in caught.value.hint


def test_released_editor_edits_a_photo_at_its_own_size(baseline: Workspace, face: Pixels, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra `photos` is not installed")
    Image.fromarray(face).save(tmp_path / "in.png")
    said = StringIO()
    edit_with_release(baseline, "beard", tmp_path / "in.png", tmp_path / "out.png", EditOptions(), Console(file=said))
    assert Image.open(tmp_path / "out.png").size == (face.shape[1], face.shape[0])
    assert "warning" not in said.getvalue()


def test_champion_that_somebody_moved_is_used_with_a_warning(baseline: Workspace, tmp_path: Path) -> None:
    crop = np.zeros((64, 64, 3), np.uint8)
    Image.fromarray(crop).save(tmp_path / "in.png")
    tracker, name = open_tracker(baseline), baseline.params().attribute_release.model_name("beard")
    tracker.client.set_registered_model_alias(name, "previous", "1")
    said, options = StringIO(), EditOptions(aligned=True)
    console = Console(file=said, width=200)
    edit_with_release(baseline, "beard", tmp_path / "in.png", tmp_path / "out.png", options, console)
    assert "moved behind its back" in said.getvalue()


def test_strength_zero_leaves_the_photo(baseline: Workspace, tmp_path: Path) -> None:
    torch.manual_seed(0)
    crop = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8).numpy()
    Image.fromarray(crop).save(tmp_path / "in.png")
    options = EditOptions(strength=0.0, aligned=True)
    edit_with_release(baseline, "beard", tmp_path / "in.png", tmp_path / "out.png", options, Console(file=StringIO()))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), crop)
