"""`editloom export`: a released editor as a file that runs without Editloom, and mistakes told before any work."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from rich.console import Console

from data.errors import UserError
from orchestration.export import export_release
from orchestration.workspace import Workspace


def test_released_editor_becomes_a_file_that_onnxruntime_runs(baseline: Workspace, tmp_path: Path) -> None:
    said = StringIO()
    export_release(baseline, "beard", tmp_path / "beard.onnx", Console(file=said))
    session = onnxruntime.InferenceSession(str(tmp_path / "beard.onnx"), providers=["CPUExecutionProvider"])
    size_px = baseline.params().aligned_images.size_px
    edited, alpha = session.run(None, {"image": np.zeros((3, 3, size_px, size_px), np.float32)})
    assert edited.shape == (3, 3, size_px, size_px) and alpha.shape == (3, 1, size_px, size_px)
    assert "MB" in said.getvalue() and "ms per image" in said.getvalue()
    assert [path.name for path in tmp_path.glob("*.onnx*")] == ["beard.onnx"]


@pytest.mark.parametrize(
    ("attribute", "name", "expected"),
    [
        ("beard", "beard.pt", "no name for an ONNX file"),
        ("beard", "nowhere/beard.onnx", "does not exist"),
        ("beard", "beard.onnx", "No editor for `beard` has been released"),
    ],
)
def test_impossible_export_is_told_and_writes_nothing(
    workspace: Workspace, tmp_path: Path, attribute: str, name: str, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        export_release(workspace, attribute, tmp_path / name, Console(file=StringIO()))
    assert not list(tmp_path.glob("*.onnx"))
