"""Imported identity judges: unit vectors, a face that is not there said so, and a wrong file named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from data.errors import UserError
from data.render import USER, draw_scene, draw_subject, render
from evaluation.pixels import to_tensor
from evaluation.protocols.identity_sources import DlibIdentity, OnnxIdentity


def _network(path: Path, batch: int | str = "n", side: int = 8, op: str = "Identity", channels: int = 3) -> Path:
    """Images N×3×S×S to the mean of each channel, N×3, through one more operation."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node(op, ["f"], ["y"]),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, side, side])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, channels])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [taken], [given]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, str(path))
    return path


def test_dlib_tells_people_apart_and_says_where_no_face_is() -> None:
    scenes = [draw_scene(USER.start + n, draw_subject(USER.start)) for n in (0, 0, 1)]
    images = np.concatenate([render(scenes, 64).images, np.full((1, 64, 64, 3), 128, dtype=np.uint8)])
    vectors = DlibIdentity().vectors(to_tensor(images))
    assert vectors.shape == (4, 128) and bool(torch.isnan(vectors[3]).all())
    assert vectors[0] @ vectors[1] == pytest.approx(1.0, abs=1e-5)  # the same image: float32 rounding alone
    assert vectors[0] @ vectors[2] < 0.999


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_onnx_vectors_do_not_depend_on_the_models_batch(tmp_path: Path, batch: int | str) -> None:
    images = torch.linspace(-1, 1, 6 * 3 * 16 * 16).reshape(6, 3, 16, 16)
    judge = OnnxIdentity(_network(tmp_path / "net.onnx", batch))
    means = images.mean(dim=(2, 3))
    wanted = means / means.norm(dim=1, keepdim=True)
    # Halving by antialiased bilinear weights keeps the mean but at the border.
    assert torch.allclose(judge.vectors(images), wanted, atol=2e-2)
    assert judge.name == "onnx_net" and len(judge.digest) == 64


@pytest.mark.parametrize(("changes", "message"), [({"op": "Log"}, "or NaN"), ({"channels": 4}, "expected N×3×S×S")])
def test_unfit_onnx_model_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        OnnxIdentity(_network(tmp_path / "net.onnx", **changes)).vectors(torch.full((2, 3, 8, 8), -0.5))  # type: ignore[arg-type]


def test_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"x\.onnx is no usable ONNX model"):
        OnnxIdentity(tmp_path / "x.onnx")
