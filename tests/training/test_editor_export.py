"""An exported editor: the same pictures as torch's, for any number of images, from a file that gives nothing away."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from data.errors import UserError
from training.editor.apply import Editor, save_editor
from training.editor.network import EditorConfig, EditorNetwork
from training.editor_export import (
    MAX_DIFFERENCE,
    OPSET,
    ExportResult,
    export_onnx,
    measured_export,
    probe_images,
    verify_onnx,
)

SMALL = EditorConfig(size_px=32, channels=(8, 8, 8), detail_channels=4, bottleneck_blocks=1)


def small_editor(config: EditorConfig = SMALL, seed: int = 0) -> Editor:
    torch.manual_seed(seed)
    return Editor(EditorNetwork(config).eval().requires_grad_(False), "beard", "d" * 64)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return export_onnx(small_editor(), tmp_path_factory.mktemp("export") / "beard.onnx")


def test_file_is_what_it_says(exported: ExportResult) -> None:
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert exported.bytes == exported.path.stat().st_size
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)] == [("", exported.opset)]
    session = onnxruntime.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("image", ["batch", 3, 32, 32])]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("edited", ["batch", 3, 32, 32]),
        ("alpha", ["batch", 1, 32, 32]),
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_images_equals_torch(exported: ExportResult, count: int) -> None:
    assert verify_onnx(small_editor(), exported.path, probe_images(32, count)) <= MAX_DIFFERENCE


def test_editor_without_blending_is_exported_too(tmp_path: Path) -> None:
    editor = small_editor(SMALL.model_copy(update={"blend": False}))
    export_onnx(editor, tmp_path / "whole.onnx")
    assert verify_onnx(editor, tmp_path / "whole.onnx", probe_images(32, 3)) <= MAX_DIFFERENCE


def test_file_of_another_editor_is_refused(exported: ExportResult) -> None:
    with pytest.raises(UserError, match="differs from the editor by"):
        verify_onnx(small_editor(seed=1), exported.path, probe_images(32, 1))


def test_bytes_are_a_function_of_the_editor(exported: ExportResult, tmp_path: Path) -> None:
    """Written by another process, in another directory: the same bytes."""
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_editor_export as t; "
    code += "t.export_onnx(t.small_editor(), Path('again.onnx'))"
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], cwd=tmp_path, check=True)
    first, again = (hashlib.sha256(p.read_bytes()).hexdigest() for p in (exported.path, tmp_path / "again.onnx"))
    assert first == again


def test_file_names_no_place_and_no_code(exported: ExportResult) -> None:
    data = exported.path.read_bytes()
    assert not re.search(rb"\.py|site-packages|torch", data)
    assert {p.key: p.value for p in onnx.load(exported.path).metadata_props}["attribute"] == "beard"


def test_measured_export_says_size_speed_and_difference(exported: ExportResult, tmp_path: Path) -> None:
    save_editor(tmp_path, small_editor().network, "beard", {})
    facts = measured_export(tmp_path)
    assert facts.bytes == exported.bytes  # the digest, of equal length, is all that differs
    assert 0 < facts.ms < 1000
    assert facts.max_difference <= MAX_DIFFERENCE


def test_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        export_onnx(small_editor(), tmp_path / "nowhere" / "beard.onnx")
    assert not list(tmp_path.iterdir())


def test_outputs_stay_within_their_ranges(exported: ExportResult) -> None:
    """Whatever comes in: an app may feed values beyond [-1, 1]."""
    session = onnxruntime.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    images = 4 * probe_images(32, 2).numpy()
    edited, alpha = (np.asarray(output) for output in session.run(None, {"image": images}))
    assert np.abs(edited).max() == 1  # it was clamped
    assert alpha.min() >= 0 and alpha.max() <= 1
