"""Tar shards: deterministic bytes, images found by offset, one image touches one shard."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import shards
from data.png import decode_png, encode_png
from data.shards import Location, iter_images, read_images, shard_bits, shard_of, write_shards


def _images(count: int, size: int = 6) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8))


def _manifest(places: dict[str, Location], images: list[np.ndarray]) -> pd.DataFrame:
    rows = []
    for image in images:
        sha256 = hashlib.sha256(encode_png(image)).hexdigest()
        rows.append({**vars(places[sha256]), "sha256": sha256, "height": image.shape[0], "width": image.shape[1]})
    return pd.DataFrame(rows)


def _bytes(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "shards").iterdir()}


def test_png_gives_the_same_pixels_back_with_red_first() -> None:
    image = np.zeros((3, 5, 3), np.uint8)
    image[..., 0] = 200
    assert np.array_equal(decode_png(encode_png(image)), image)
    with pytest.raises(ValueError, match="not a readable PNG"):
        decode_png(b"\x89PNG\r\n")


def test_images_come_back_in_manifest_order_whatever_order_they_came_in(tmp_path: Path) -> None:
    images = _images(40)
    places = write_shards(tmp_path, (encode_png(image) for image in images))
    frame = _manifest(places, images)
    assert np.array_equal(read_images(tmp_path, frame), np.stack(images))
    assert np.array_equal(read_images(tmp_path, frame.iloc[::-3]), np.stack(images[::-3]))


def test_shards_do_not_depend_on_the_order_of_arrival(tmp_path: Path) -> None:
    payloads = [encode_png(image) for image in _images(20)]
    write_shards(tmp_path / "a", payloads)
    write_shards(tmp_path / "b", [*payloads[::-1], payloads[3]])
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")


def test_removing_one_image_rewrites_one_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 8)
    payloads = [encode_png(image) for image in _images(64)]
    write_shards(tmp_path / "all", payloads)
    write_shards(tmp_path / "less", payloads[1:])
    before, after = _bytes(tmp_path / "all"), _bytes(tmp_path / "less")
    assert len(before) == 8
    assert [name for name in before if before[name] != after.get(name)] == [
        shard_of(hashlib.sha256(payloads[0]).hexdigest(), 3)
    ]


def test_tar_headers_carry_no_time_or_owner(tmp_path: Path) -> None:
    write_shards(tmp_path, [encode_png(image) for image in _images(3)])
    with tarfile.open(tmp_path / "shards" / "00.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


def test_shards_hold_about_a_thousand_images_and_round_counts_are_far_from_a_change() -> None:
    assert [shard_bits(count) for count in (0, 1, 1000, 2000, 8000, 256_000)] == [0, 0, 0, 1, 3, 8]
    assert shard_bits(7_000) == shard_bits(8_000) == shard_bits(10_000)
    assert shard_of("ff" * 32, 3) == "07.tar"
    assert shard_of("ff" * 32, 12) == "fff.tar"


def test_images_of_two_sizes_are_iterated_but_not_stacked(tmp_path: Path) -> None:
    images = [*_images(1, 6), *_images(1, 9)]
    frame = _manifest(write_shards(tmp_path, [encode_png(image) for image in images]), images)
    assert [image.shape for image in iter_images(tmp_path, frame)] == [(6, 6, 3), (9, 9, 3)]
    with pytest.raises(ValueError, match="align them first"):
        read_images(tmp_path, frame)


def test_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    write_shards(tmp_path, [encode_png(image) for image in _images(3)])
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
