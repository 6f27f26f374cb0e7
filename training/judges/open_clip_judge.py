"""An OpenCLIP model of a user's own weights file as a judge: for photographs, which the procedural CLIPs never saw."""

from __future__ import annotations

import difflib
import hashlib
import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from data.errors import UserError
from training.judges.clip_network import tokenize
from training.judges.config import Role
from training.judges.interface import Judge

UNREADABLE = (
    AttributeError,  # a file of something else than named tensors
    EOFError,
    OSError,
    RuntimeError,
    StopIteration,  # OpenCLIP's, for a file of no tensor
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    SafetensorError,
)
"""What torch, safetensors and OpenCLIP raise for a file that is not what they expect."""


@dataclass(frozen=True)
class OpenClipJudge(Judge):
    """Pictures and sentences in one space, by a published model; `digest` is the sha256 of its weights file.

    `architecture` is OpenCLIP's name of it; `size_px`, `mean`, `std` and `interpolation` are its own preprocessing.
    """

    architecture: str
    size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    def image_vectors(self, images: Tensor) -> Tensor:
        """Unit vectors N×D of square images N×3×S×S in [-1, 1]; gradients reach them. ValueError when not square."""
        vectors: Tensor = self._model.encode_image(self.preprocess(images))
        return F.normalize(vectors, dim=1)

    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors of M sentences, M×D."""
        tokens = tokenize(texts, self.architecture)
        vectors: Tensor = self._model.encode_text(tokens.to(next(self.net.parameters()).device))
        return F.normalize(vectors, dim=1)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """None: what a published model read is not recorded, and its vocabulary covers every spelling."""
        return ()

    def preprocess(self, images: Tensor) -> Tensor:
        """Images as the model wants them: of its size, of [0, 1], then normalised with its own statistics."""
        if images.shape[2] != images.shape[3]:
            raise ValueError(f"expected square images, got {images.shape[2]}×{images.shape[3]}")
        size = (self.size_px, self.size_px)
        unit = F.interpolate((images + 1) / 2, size, mode=self.interpolation, align_corners=False, antialias=True)
        mean, std = (images.new_tensor(value).view(1, 3, 1, 1) for value in (self.mean, self.std))
        return (unit.clamp(0, 1) - mean) / std  # bicubic overshoots; OpenCLIP's uint8 images cannot

    @property
    def _model(self) -> Any:
        return self.net  # OpenCLIP's classes share encode_image and encode_text but no typed base


def load_open_clip(
    architecture: str, weights: Path, role: Role, name: str = "clip", device: torch.device | str = "cpu"
) -> OpenClipJudge:
    """An OpenCLIP model of a registered name with the weights of a local file, frozen; nothing is downloaded.

    Raises UserError for an unknown name, one that needs files from the network, and a file that is missing, unreadable
    or of another architecture or image size.
    """
    _check_architecture(architecture)
    if not weights.is_file():
        raise UserError(
            f"The CLIP weights {weights} are missing.",
            f"Give the path of a weights file of OpenCLIP's {architecture}; none is downloaded.",
        )
    import open_clip  # seconds: only who imports a CLIP pays for it

    model = open_clip.create_model(architecture, load_weights=False, pretrained_image=False, pretrained_text=False)
    _fill(model, architecture, weights)
    model.eval().requires_grad_(False).to(device)
    visual = model.visual
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OpenClipJudge(
        name,
        "clip",
        role,
        digest,
        model,
        architecture=architecture,
        size_px=_side(visual.image_size),
        mean=tuple(visual.image_mean),
        std=tuple(visual.image_std),
        interpolation=visual.preprocess_cfg["interpolation"],
    )


def _check_architecture(architecture: str) -> None:
    """UserError for what OpenCLIP does not know, or cannot build without the network."""
    import open_clip

    names = open_clip.list_models()
    if architecture not in names:
        near = difflib.get_close_matches(architecture, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`open_clip.list_models()` lists them."
        raise UserError(f"OpenCLIP has no architecture {architecture!r}.", hint)
    text = open_clip.get_model_config(architecture)["text_cfg"]
    wants = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if wants:
        raise UserError(
            f"OpenCLIP's {architecture} takes its text tower or tokenizer from {wants!r}, over the network.",
            "Choose one whose tokenizer OpenCLIP ships, such as ViT-B-32.",
        )


def _fill(model: Any, architecture: str, weights: Path) -> None:
    """Loads the weights, every one of them; OpenCLIP alone would stretch position vectors of another image size."""
    from open_clip.factory import load_checkpoint, load_state_dict

    try:
        found = load_state_dict(str(weights), weights_only=True)
    except UNREADABLE as error:
        raise UserError(
            f"{weights} cannot be read as the weights of a network: {error}",
            "Expected a .safetensors file, or a .pt or .bin file that holds tensors alone.",
        ) from error
    _check_shapes(found, model.state_dict(), architecture, weights)
    try:
        load_checkpoint(model, str(weights), strict=True, weights_only=True)
    except UNREADABLE as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(
            f"{weights} does not hold the weights of OpenCLIP's {architecture}: {first}", _choose(architecture)
        ) from error


def _check_shapes(found: dict[str, Any], expected: dict[str, Tensor], architecture: str, weights: Path) -> None:
    """UserError for the first tensor of another shape; a scalar may be stored as a vector of one."""
    for key, tensor in expected.items():
        given = found.get(key)
        if given is None or math.prod(given.shape) == math.prod(tensor.shape) == 1:
            continue
        if given.shape != tensor.shape:
            raise UserError(
                f"{weights} has {key} of shape {tuple(given.shape)}, {architecture} expects {tuple(tensor.shape)}.",
                _choose(architecture),
            )


def _choose(architecture: str) -> str:
    return f"Name the architecture that the file was trained as, or give a file of {architecture}."


def _side(size: int | Sequence[int]) -> int:
    return size if isinstance(size, int) else int(size[0])
