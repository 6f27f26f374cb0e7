"""Any face parser in an ONNX file as a source of region masks, on the CPU by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from training.joint_mask import resize_mask
from training.mask_config import OnnxParserConfig

_SIZE_HINT = "Set size_px, mean, std and order as the model's own documentation says."


class OnnxParser:
    """A parser: images are brought to its size and scale, its classes to regions, the regions back to their size.

    Its first output gives the classes: scores N×K×h×w, or the class numbers themselves, integers N×h×w or N×1×h×w.
    """

    def __init__(self, config: OnnxParserConfig, path: Path, key: str) -> None:
        """Open the file; `key` is how params.yaml names its section. Raises UserError when it cannot be run."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong comes as an exception
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common class of their own
            raise UserError(f"{key}.path: {path} is no usable ONNX model: {_first_line(error)}", _SIZE_HINT) from error
        self.config, self.key = config, key
        self.input = self.session.get_inputs()[0]

    def mask(self, images: Tensor, regions: Sequence[str]) -> Tensor:
        """The union of some regions, float N×1×H×W in [0, 1], of images N×3×H×W in [-1, 1]; UserError."""
        wanted = sorted({number for region in regions for number in self._classes(region)})
        classes = np.concatenate([self._run(piece) for piece in self._pieces(self._prepared(images))])[: len(images)]
        inside = torch.from_numpy(np.isin(classes, wanted))[:, None]  # N×h×w → N×1×h×w
        return resize_mask(inside.to(images.device, images.dtype), images.shape[-1])

    def _classes(self, region: str) -> tuple[int, ...]:
        if region not in self.config.labels:
            known = ", ".join(self.config.labels) or "none"
            raise UserError(
                f"{self.key}.labels has no region {region!r}, which the attribute changes (it has: {known}).",
                f"Add `{region}: [numbers of its classes]`.",
            )
        return self.config.labels[region]

    def _prepared(self, images: Tensor) -> Tensor:
        """N×3×H×W in [-1, 1] → N×3×size×size on the model's scale and in its order of channels."""
        size, own = (self.config.size_px, self.config.size_px), images.detach().float().cpu()
        if own.shape[2:] != size:
            own = F.interpolate(own, size, mode="bilinear", align_corners=False, antialias=True)
        own = (own.clamp(-1, 1) + 1) / 2
        own = own.flip(1) if self.config.order == "BGR" else own
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.config.mean, self.config.std))
        return (own - mean) / std

    def _pieces(self, images: Tensor) -> list[Tensor]:
        """Batches of the size that the model was exported with, the last one filled up; one where any size will do."""
        batch = self.input.shape[0]
        if not isinstance(batch, int):
            return [images]
        missing = -len(images) % batch
        filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
        return [filled[start : start + batch] for start in range(0, len(filled), batch)]

    def _run(self, images: Tensor) -> NDArray[np.int64]:
        """Class numbers N×h×w."""
        try:
            output = np.asarray(self.session.run(None, {self.input.name: images.numpy()})[0])
        except Exception as error:  # onnxruntime's exceptions have no common class of their own
            said = f"{self.key}: the model refused {list(images.shape)} images: {_first_line(error)}"
            raise UserError(said, _SIZE_HINT) from error
        return self._class_numbers(output, len(images))

    def _class_numbers(self, output: NDArray[np.generic], count: int) -> NDArray[np.int64]:
        numbers = np.issubdtype(output.dtype, np.integer)
        if output.ndim == 4 and output.shape[1] == 1 and numbers:
            output = output[:, 0]  # N×1×h×w → N×h×w
        scores = output.ndim == 4 and output.shape[1] > 1 and not numbers
        if len(output) != count or not (scores or (output.ndim == 3 and numbers)):
            raise UserError(
                f"{self.key}: the model's first output is {output.dtype} {list(output.shape)} for {count} images, "
                "expected scores N×K×h×w or integer classes N×h×w.",
                "Export the parser with one of these as its first output.",
            )
        if scores:
            self._check_labels(output.shape[1])
        found: NDArray[np.int64] = (output.argmax(axis=1) if scores else output).astype(np.int64)
        return found

    def _check_labels(self, classes: int) -> None:
        for region, numbers in self.config.labels.items():
            if any(not 0 <= number < classes for number in numbers):
                raise UserError(
                    f"{self.key}.labels.{region} is {list(numbers)}, but the model knows classes 0 to {classes - 1}.",
                    "Correct the label map.",
                )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
