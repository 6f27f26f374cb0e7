"""An editor on a phone: the size of its ONNX file, its milliseconds on a CPU, and how far it is from torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from orchestration.params import Params
from orchestration.results import Bar, Figure
from training.editor.apply import save_editor
from training.editor.config import EditorTrainingConfig
from training.editor.network import EditorNetwork
from training.editor_export import MAX_DIFFERENCE, measured_export


@pytest.mark.bench
def test_exported_editor(all_measured: Callable[..., None], demo_params: Params, tmp_path: Path) -> None:
    """Untrained, of the demo's shape."""
    size_px = demo_params.aligned_images.size_px
    config = EditorTrainingConfig(attribute="beard", **demo_params.attribute_editor.model_dump())
    torch.manual_seed(0)
    network = EditorNetwork(config.network(size_px))
    save_editor(tmp_path, network, config.attribute, {})
    facts = measured_export(tmp_path)
    prefix = f"editor as ONNX, {size_px} px: "
    parameters = sum(p.numel() for p in network.parameters())
    all_measured(
        Figure(f"{prefix}file", facts.bytes / 1e6, "MB", note=f"{parameters} parameters in float32"),
        Figure(f"{prefix}one image", facts.ms, "ms", note="onnxruntime, 1 CPU thread, median of 30"),
        Figure(
            f"{prefix}largest difference to torch",
            facts.max_difference,
            "of −1…1",
            bar=Bar(at_most=MAX_DIFFERENCE),
            note="edited image and alpha, one image and three at once",
        ),
    )
