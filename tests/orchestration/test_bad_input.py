"""A user's mistake: status 2, what is wrong and what to do, no traceback. A bad image: quarantine, the rest goes on."""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from data.manifest import read_manifest
from data.quarantine import read_quarantine
from orchestration.cli import app
from orchestration.graph import AssetId
from orchestration.store import stat_cache
from orchestration.workspace import VARIABLE, Workspace

Editloom = Callable[..., subprocess.CompletedProcess[str]]
ChangeParams = Callable[[Workspace, dict[str, object]], None]


def refused(*arguments: str) -> str:
    """What a command that must be refused says, in one line."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def photos(ws: Workspace, folder: Path, change_params: ChangeParams) -> None:
    """Let the workspace's images be the photographs of a folder, with consent."""
    ingest = {"path": str(folder), "consent_default": "granted", "attested_by": "A. Person"}
    change_params(ws, {"images.source": "folder", "aligned_images.detector": "dlib"})
    change_params(ws, {f"images.ingest.{key}": value for key, value in ingest.items()})


def version_of(ws: Workspace, asset: str) -> str | None:
    return stat_cache.version_in_place(ws.root, AssetId(asset))


@pytest.mark.parametrize("command", [("run",), ("plan",), ("materialize", "images"), ("dvc-yaml",), ("doctor",)])
def test_place_that_is_no_workspace_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(*command)
    assert str(tmp_path) in said and "params.yaml" in said and "editloom new" in said
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    assert VARIABLE in refused(*command)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("edit_pairs.mask.dilate", 1, ("unknown key `edit_pairs.mask.dilate`", "`dilate_px`")),
        ("attributes.beard.feature_network.kimgs", 1, ("attributes.beard.feature_network.kimgs", "`kimg`")),
        ("feature_network.batch_size", 0, ("`feature_network.batch_size` is 0", "greater than")),
        ("attributes", {}, ("attributes is empty", "beard: {}")),
        ("images.source", "folder", ("images.ingest.path is not set",)),
    ],
)
def test_wrong_setting_names_the_file_the_key_and_what_was_expected(
    workspace: Workspace, change_params: ChangeParams, key: str, value: object, expected: tuple[str, ...]
) -> None:
    change_params(workspace, {key: value})
    said = refused("run")
    for part in (str(workspace.params_file), *expected):
        assert part in said
    assert not (workspace.state / "runs").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--select", "edit_pair"), ("'edit_pair'", "'edit_pairs'")),
        (("--partition", "bread"), ("'bread'", "'beard'", "params.yaml")),
        # The brackets belong to the name, and are no style of the terminal's.
        (("--select", "edit_pairs"), ("edit_pairs[slicked_back_hair] is made from", "--select +edit_pairs")),
    ],
)
def test_wrong_selection_names_the_nearest(
    workspace: Workspace, options: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    for command in ("run", "plan"):
        said = refused(command, *options)
        assert all(part in said for part in expected), said


def test_workspace_is_not_made_over_something_or_from_nothing(workspace: Workspace, tmp_path: Path) -> None:
    assert "not empty" in refused("new", str(workspace.root), "--preset", "smoke")
    assert "`smoke`" in refused("new", str(tmp_path / "other"), "--preset", "smok")
    assert not (tmp_path / "other").exists()


def test_empty_folder_is_told(
    baseline: Workspace, tmp_path: Path, editloom: Editloom, change_params: ChangeParams
) -> None:
    (tmp_path / "photos").mkdir()
    photos(baseline, tmp_path / "photos", change_params)
    done = editloom(baseline, "run", "--select", "images,aligned_images")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"no file in {tmp_path / 'photos'}" in done.stdout and "ingest.path" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_folder_without_a_single_image_names_each_file(
    baseline: Workspace, tmp_path: Path, editloom: Editloom, change_params: ChangeParams
) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "photos" / name).write_text(f"this is {name}, no picture")
    photos(baseline, tmp_path / "photos", change_params)
    before = version_of(baseline, "images")
    done = editloom(baseline, "run", "--select", "images,aligned_images")
    assert done.returncode == 2, done.stdout + done.stderr
    assert all(name in done.stdout for name in ("3 not_an_image", "a.jpg", "b.jpg", "c.jpg"))
    assert "Traceback" not in done.stdout + done.stderr
    assert version_of(baseline, "images") == before


def test_bad_photos_go_to_quarantine_and_no_good_one_is_lost(
    baseline: Workspace, tmp_path: Path, editloom: Editloom, change_params: ChangeParams
) -> None:
    pytest.importorskip("dlib", reason="the extra `photos` is not installed")
    write_photos(tmp_path / "photos")
    photos(baseline, tmp_path / "photos", change_params)
    done = editloom(baseline, "run", "--select", "images,aligned_images")
    assert done.returncode == 0, done.stdout + done.stderr
    images, aligned = baseline.payload("images"), baseline.payload("aligned_images")
    reasons = {row.source: row.reason for part in (images, aligned) for row in read_quarantine(part).itertuples()}
    assert reasons == {
        "cut.jpg": "truncated",
        "huge.png": "too_many_pixels",
        "notes.jpg": "not_an_image",
        "wall.png": "no_face",
    }
    assert set(read_manifest(aligned)["source"]) == {"good.png", "grey.png", "deep.png", "cmyk.jpg"}


def write_photos(folder: Path) -> None:
    """Four photographs of a face, in four kinds of pixels, and one of each bad kind."""
    folder.mkdir()
    face = Image.fromarray(np.asarray(skimage.data.astronaut()))
    face.save(folder / "good.png")
    # Each another picture: equal pixels would be a duplicate.
    grey = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("L")
    grey.save(folder / "grey.png")
    deep = np.asarray(face.crop((0, 0, 480, 480)).convert("L"), np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    face.crop((20, 0, 500, 480)).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    jpeg = BytesIO()
    face.save(jpeg, "JPEG")
    (folder / "cut.jpg").write_bytes(jpeg.getvalue()[: len(jpeg.getvalue()) // 2])
    (folder / "notes.jpg").write_text("not an image")
    (folder / "huge.png").write_bytes(black_png(30_000))
    Image.fromarray(np.full((300, 300, 3), 128, np.uint8)).save(folder / "wall.png")


def black_png(side: int) -> bytes:
    """A whole, valid PNG of side×side black pixels, 1 bit each, in some hundred kilobytes."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join([packer.compress(row * 100) for _ in range(side // 100)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
