"""Identity judges for photographs: dlib's 128-d network, or any ArcFace-like ONNX file. Neither saw a rendered face."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from data.landmarks import MODEL, dlib_module, face_model_file
from evaluation.pixels import to_images

RECOGNITION = "models/dlib_face_recognition_resnet_model_v1.dat"
SEARCH_SIDE_PX = 256
"""Smaller crops are enlarged to this size: dlib's detector looks for faces of 80 px and more."""
MARGIN = 0.25
"""Border, as a share of the crop's side, that is added before faces are looked for: aligned crops cut them close."""
ARCFACE_SIDE_PX = 112


class DlibIdentity:
    """dlib's ResNet on the largest face of each image; an image without a face gives a vector of NaN."""

    name = "dlib_face_recognition"

    def __init__(self) -> None:
        """Read dlib's models; raises UserError when the extra `photos` is missing."""
        dlib, weights, points = dlib_module(), face_model_file(RECOGNITION), face_model_file(MODEL)
        self.digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self._detect = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(points))
        self._network = dlib.face_recognition_model_v1(str(weights))

    def vectors(self, images: Tensor) -> Tensor:
        """Unit vectors N×128 of N×3×H×W images in [-1, 1]; NaN rows where there is no face."""
        rows = [self._vector(image) for image in to_images(images)]
        return F.normalize(torch.from_numpy(np.stack(rows)), dim=1)

    def _vector(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        crop = _with_margin(image)
        boxes = self._detect(crop, 0) or self._detect(crop, 1)
        if not boxes:
            return np.full(128, np.nan, dtype=np.float32)
        box = max(boxes, key=lambda found: int(found.area()))
        return np.asarray(self._network.compute_face_descriptor(crop, self._points(crop, box)), dtype=np.float32)


class OnnxIdentity:
    """An ArcFace-like network in an ONNX file: RGB N×3×S×S in [-1, 1] → N×D. The whole crop is what it sees."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises UserError when it is missing or cannot be run."""
        import onnxruntime

        if not path.is_file():
            raise UserError(f"--identity onnx={path}: there is no such file.", "Name an ONNX file.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong comes as an exception
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common class of their own
            raise UserError(f"--identity: {path} is no usable ONNX model: {_first_line(error)}") from error
        self.name, self.path = f"onnx_{path.stem}", path
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self._input = self._session.get_inputs()[0]
        self._side_px = _side_px(self._input.shape, path)

    def vectors(self, images: Tensor) -> Tensor:
        """Unit vectors N×D of N×3×H×W images in [-1, 1]; raises UserError when the model gives none."""
        size = (self._side_px, self._side_px)
        sized = images.detach().float().cpu()
        if sized.shape[2:] != size:
            sized = F.interpolate(sized, size, mode="bilinear", align_corners=False, antialias=True)
        step = self._input.shape[0] if isinstance(self._input.shape[0], int) else len(sized)
        missing = -len(sized) % step
        filled = torch.cat([sized, sized[-1:].expand(missing, -1, -1, -1)])
        parts = [self._run(filled[start : start + step]) for start in range(0, len(filled), step)]
        return F.normalize(torch.from_numpy(np.concatenate(parts)[: len(images)]), dim=1)

    def _run(self, images: Tensor) -> NDArray[np.float32]:
        try:
            output = np.asarray(self._session.run(None, {self._input.name: images.numpy()})[0], dtype=np.float32)
        except Exception as error:  # onnxruntime's exceptions have no common class of their own
            raise UserError(f"--identity: {self.path} refused {list(images.shape)}: {_first_line(error)}") from error
        if output.ndim != 2 or len(output) != len(images) or not np.isfinite(output).all():
            raise UserError(
                f"--identity: {self.path} gave {list(output.shape)} for {len(images)} images, or NaN.",
                "Expected one finite vector per image as its first output, N×D.",
            )
        return output


def _with_margin(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crop at a size in which faces can be found, its border repeated outwards."""
    side = max(image.shape[0], SEARCH_SIDE_PX)
    large = image if side == image.shape[0] else cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    edge = round(MARGIN * side)
    return np.ascontiguousarray(cv2.copyMakeBorder(large, edge, edge, edge, edge, cv2.BORDER_REPLICATE), dtype=np.uint8)


def _side_px(shape: list[Any], path: Path) -> int:
    """The side of the square that the model takes; raises UserError for another layout than N×3×S×S."""
    fixed = [length for length in shape[2:] if isinstance(length, int)]
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3) or len(set(fixed)) > 1:
        raise UserError(f"--identity: {path} takes {shape}, expected N×3×S×S.", "Export it with channels first.")
    return fixed[0] if fixed else ARCFACE_SIDE_PX


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
