"""Two versions of a file are compared by what they say, and only numbers have a tolerance."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save

from orchestration.reproduction.content import FileDifference, compare_content

WEIGHTS = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
FACE = np.full((8, 8, 3), 100, np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _tar(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{name}.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _parquet(**columns: list[object]) -> bytes:
    stream = io.BytesIO()
    pd.DataFrame(columns).to_parquet(stream)
    return stream.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("name", "recorded", "made", "within", "max_abs"),
    [
        ("a.safetensors", save({"w": WEIGHTS}), save({"w": WEIGHTS * 1.01}), True, 0.01),
        ("a.safetensors", save({"w": WEIGHTS}), save({"w": WEIGHTS * 1.2}), False, 0.2),
        ("a.safetensors", save({"w": WEIGHTS}), save({"w": WEIGHTS[:4]}), False, None),
        ("a.safetensors", save({"w": WEIGHTS}), save({"v": WEIGHTS}), False, None),
        ("a.png", _png(FACE), _png(FACE + np.uint8(1)), True, 1.0),
        ("a.png", _png(FACE), _png(FACE + np.uint8(2)), False, 2.0),
        ("a.png", _png(FACE), _png(FACE[:4]), False, None),
        ("00.tar", _tar(a=_png(FACE)), _tar(b=_png(FACE + np.uint8(1))), True, 1.0),
        ("00.tar", _tar(a=_png(FACE)), _tar(a=_png(FACE), b=_png(FACE)), False, None),
        ("a.parquet", _parquet(psnr=[40.0], of=["f" * 64]), _parquet(psnr=[40.5], of=["e" * 64]), True, 0.5),
        ("a.parquet", _parquet(psnr=[40.0]), _parquet(psnr=[30.0]), False, 10.0),
        ("a.parquet", _parquet(of=["beard"]), _parquet(of=["smile"]), False, None),
        ("a.json", _json({"kimg": 1, "of": "a" * 64}), _json({"kimg": 1.005, "of": "b" * 64}), True, 0.005),
        ("a.json", _json({"rows": [1, 2]}), _json({"rows": [1]}), False, None),
        ("a.json", _json({"ok": True}), _json({"ok": False}), False, None),
        ("a.json", _json({"x": float("nan")}), _json({"x": 0.0}), False, None),
    ],
)
def test_difference_and_whether_it_is_within_tolerance(
    name: str, recorded: bytes, made: bytes, within: bool, max_abs: float | None
) -> None:
    found = compare_content(name, recorded, made)
    assert found.within is within, found
    if max_abs is not None:
        assert found.max_abs == pytest.approx(max_abs, rel=1e-4)
    else:
        assert found.max_abs is None or np.isnan(found.max_abs)


def test_bfloat16_tensors_are_read_as_numbers() -> None:
    def file(values: list[float]) -> bytes:
        raw = b"".join(np.float32(value).tobytes()[2:] for value in values)
        header = json.dumps({"w": {"dtype": "BF16", "shape": [len(values)], "data_offsets": [0, len(raw)]}}).encode()
        return len(header).to_bytes(8, "little") + header + raw

    assert compare_content("a.safetensors", file([1.0, 2.0]), file([1.0, 2.5])).max_abs == 0.5


def test_pages_are_not_judged_and_unknown_files_have_no_tolerance() -> None:
    assert compare_content("report.html", b"a", b"b").within
    assert compare_content("notes.txt", b"a", b"b") == FileDifference("notes.txt", "its bytes differ")
