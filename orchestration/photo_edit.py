"""One photo through an editor: align, edit the crop, add the difference back at the photo's own size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.alignment import Template, align, paste_difference, similarity
from data.decoding import decode_image
from data.landmarks import Detector
from data.png import Pixels
from data.quarantine import BadImageError

ImageEditor = Callable[[Tensor], Tensor]
"""N×3×H×W in [-1, 1] → the same shape and range."""

WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
JPEG_QUALITY = 95


@dataclass(frozen=True)
class EditOptions:
    """How to edit: `strength` 0 leaves the photo, 1 is the editor's own; `aligned` photos are crops already.

    `allow_unsigned` lets an editor through whose signature does not hold, with a warning.
    """

    side_by_side: bool = False
    strength: float = 1.0
    aligned: bool = False
    allow_unsigned: bool = False


@dataclass(frozen=True)
class Alignment:
    """Where the editor expects the reference points (a face's eyes), and the side of its crop."""

    size_px: int = 64
    template: Template = field(default_factory=Template)


@dataclass(frozen=True)
class PhotoResult:
    """What became of one photo: the file written, or None and the reason."""

    source: Path
    written: Path | None
    reason: str = ""


@dataclass(frozen=True)
class PhotoEditor:
    """An editor with what it needs around it; `detector` may be None when photos are aligned crops."""

    editor: ImageEditor
    detector: Detector | None
    alignment: Alignment
    options: EditOptions

    def edit_file(self, source: Path, target: Path) -> PhotoResult:
        """Edit one file; a photo that cannot be edited gives its reason, and nothing is written."""
        try:
            photo = decode_image(source.read_bytes(), min_size_px=16)
            edited = self.edit(photo)
        except BadImageError as bad:
            return PhotoResult(source, None, f"{bad.reason}: expected {bad.expected}")
        except OSError as error:
            return PhotoResult(source, None, f"unreadable: {error.strerror or error}")
        save(np.hstack([photo, edited]) if self.options.side_by_side else edited, target)
        return PhotoResult(source, target)

    def edit(self, photo: Pixels) -> Pixels:
        """The edited photo, uint8 H×W×3 as the input; raises BadImageError when there is no usable face.

        Only the crop's change is enlarged and added, so that the photo keeps its own detail elsewhere.
        """
        side = self.alignment.size_px
        transform = self._crop_scaling(photo) if self.options.aligned else self._face_transform(photo)
        if self.options.aligned and photo.shape[0] == side:
            return self._edit_crop(photo)
        crop = align(photo, transform, side)
        return paste_difference(photo, crop, self._edit_crop(crop), transform)

    def _edit_crop(self, crop: Pixels) -> Pixels:
        pixels = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None]  # H×W×3 → 1×3×H×W
        with torch.inference_mode():
            edited = self.editor(pixels.float() / 127.5 - 1)
        levels = ((edited[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return levels.permute(1, 2, 0).cpu().numpy()

    def _face_transform(self, photo: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """The transform of the largest face."""
        faces = self.detector.detect(photo) if self.detector is not None else []
        if not faces:
            raise BadImageError("no_face", "a face that the detector finds, upright and looking at the camera")
        largest = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
        try:
            return similarity(largest.landmarks, self.alignment.template, self.alignment.size_px)
        except ValueError as error:
            raise BadImageError("no_landmarks", f"two eyes apart from each other; {error}") from None

    def _crop_scaling(self, photo: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        height, width = photo.shape[:2]
        if height != width:
            raise BadImageError("no_landmarks", f"a square crop, as --aligned says; it has {width}×{height}")
        scale = self.alignment.size_px / width
        return np.array([[scale, 0, 0], [0, scale, 0]], np.float64)


def save(image: Pixels, target: Path) -> None:
    """Write uint8 H×W×3 in the format of the target's suffix, so that a crash leaves no half file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.part")
    kind = WRITABLE[target.suffix.lower()]
    more = {"quality": JPEG_QUALITY, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(image).save(staged, format=kind, **more)
    staged.replace(target)
