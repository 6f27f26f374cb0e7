"""Editors as ONNX files, for phones and browsers: written, held against torch, and timed.

The disclosures send models to devices (METHODS A8). A file's bytes are a function of the editor and of the versions of
torch and onnxscript: they name no place, time or machine.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from data.errors import UserError
from training.editor.apply import Editor, blending_mask, edit, load_editor
from training.editor.network import EditorNetwork, EditorOutput

if TYPE_CHECKING:
    import onnx

OPSET = 18  # onnxruntime runs it since 1.14
INPUT, OUTPUTS = "image", ("edited", "alpha")
MAX_DIFFERENCE = 1e-4
PROBE_IMAGES, WARM_UP_RUNS, TIMED_RUNS = 3, 3, 30


@dataclass(frozen=True)
class ExportResult:
    """A written ONNX file: input `image` N×3×S×S in [-1, 1], outputs `edited` alike and `alpha` N×1×S×S in [0, 1]."""

    path: Path
    bytes: int
    size_px: int
    opset: int


@dataclass(frozen=True)
class ExportFacts:
    """Size of an exported editor, milliseconds per image on one CPU thread, largest difference to torch."""

    bytes: int
    ms: float
    max_difference: float


class _Exported(nn.Module):
    """What the file computes: the edit at full strength, and where it was made."""

    def __init__(self, network: EditorNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Edited images N×3×S×S in [-1, 1] and alpha N×1×S×S in [0, 1]."""
        output: EditorOutput = self.network(image)
        return output.images.clamp(-1, 1), torch.sigmoid(output.alpha_logits)


def export_onnx(editor: Editor, path: Path) -> ExportResult:
    """Write an editor as ONNX: any number of images at once, of the size that it was trained on.

    Raises UserError when `path` cannot be written.
    """
    model = _bare(_traced(editor))
    for key, value in (("attribute", editor.attribute), ("editor_sha256", editor.digest), ("range", "-1..1, RGB")):
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString(deterministic=True)
    arriving = path.with_name(f".{path.name}.part")
    try:
        arriving.write_bytes(data)
        arriving.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}.", "Name a file in a folder that exists."
        ) from error
    return ExportResult(path, len(data), editor.size_px, OPSET)


def verify_onnx(editor: Editor, path: Path, images: Tensor) -> float:
    """Largest difference of both outputs between the file run by onnxruntime and torch, on images N×3×S×S.

    Raises UserError when it exceeds 1e-4.
    """
    edited, alpha = _session(path).run(list(OUTPUTS), {INPUT: images.numpy()})
    own = images.to(next(editor.network.parameters()).device)
    expected = edit(editor, own).cpu(), blending_mask(editor, own).cpu()
    pairs = zip((edited, alpha), expected, strict=True)
    difference = max(float((torch.from_numpy(np.asarray(ours)) - theirs).abs().max()) for ours, theirs in pairs)
    if not difference <= MAX_DIFFERENCE:
        raise UserError(
            f"{path} differs from the editor by {difference:.2g}, expected {MAX_DIFFERENCE:g} at most.",
            "Export it again with the versions of torch and onnxscript in constraints.txt.",
        )
    return difference


def measure(path: Path, size_px: int, runs: int = TIMED_RUNS) -> float:
    """Milliseconds that the file takes for one image S×S on one CPU thread: the median of `runs`."""
    session = _session(path)
    image = probe_images(size_px, 1).numpy()
    seconds = []
    for _ in range(WARM_UP_RUNS + runs):
        started = time.perf_counter()
        session.run(list(OUTPUTS), {INPUT: image})
        seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds[WARM_UP_RUNS:])


def checked_export(editor: Editor, path: Path) -> ExportFacts:
    """Write an editor to `path`, compare it with torch on one image and on several, and time it; raises UserError."""
    result = export_onnx(editor, path)
    images = probe_images(result.size_px, PROBE_IMAGES)
    difference = max(verify_onnx(editor, path, batch) for batch in (images, images[:1]))
    return ExportFacts(result.bytes, measure(path, result.size_px), difference)


def measured_export(editor_dir: Path) -> ExportFacts:
    """What `checked_export` finds for the editor of a payload; the file itself is not kept. Raises UserError."""
    with tempfile.TemporaryDirectory() as folder:
        return checked_export(load_editor(editor_dir), Path(folder) / "editor.onnx")


def probe_images(size_px: int, count: int) -> Tensor:
    """The same random images N×3×S×S in [-1, 1] every time."""
    return torch.rand(count, 3, size_px, size_px, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _traced(editor: Editor) -> onnx.ModelProto:
    example = probe_images(editor.size_px, 2).to(next(editor.network.parameters()).device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's notes are for its own developers
        program: Any = torch.onnx.export(
            _Exported(editor.network).eval(),
            (example,),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto
    return model


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what its exporter notes: source lines, stack traces and paths, its own version."""
    graph = model.graph
    parts = (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.producer_name, model.producer_version = "editloom", ""
    return model


def _session(path: Path) -> Any:
    """An onnxruntime session on one CPU thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
