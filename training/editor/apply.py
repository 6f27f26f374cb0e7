"""Load an editor and edit images with it. Needs no Lightning."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from data.errors import UserError
from training.editor.network import EditorConfig, EditorNetwork, EditorOutput

WEIGHTS, CARD = "editor.safetensors", "editor.json"
MAX_STRENGTH = 1.5


@dataclass(frozen=True)
class Editor:
    """A frozen editor of one attribute; calling it edits images at full strength."""

    network: EditorNetwork
    attribute: str
    digest: str

    def __call__(self, images: Tensor) -> Tensor:
        """Edited images N×3×H×W of images N×3×H×W in [-1, 1]."""
        return edit(self, images)

    @property
    def size_px(self) -> int:
        """Side of the aligned images that it was trained on."""
        return self.network.config.size_px


@torch.no_grad()
def edit(editor: Editor, images: Tensor, strength: float = 1.0) -> Tensor:
    """Edit aligned images: y = x + strength·(e − x), N×3×H×W in [-1, 1]; strength 0 leaves them as they are.

    Above 1 the edit is exaggerated. Raises UserError for a strength outside 0 … 1.5, or where the sides are not
    divisible by 16 (for a network with more than four levels, by 2 to their number).
    """
    _check(editor, images, strength)
    output: EditorOutput = editor.network(images.contiguous(memory_format=torch.channels_last))
    edited = output.images.clamp(-1, 1)
    changed = edited if strength == 1 else (images + strength * (edited - images)).clamp(-1, 1)
    return changed.contiguous()


@torch.no_grad()
def blending_mask(editor: Editor, images: Tensor) -> Tensor:
    """The editor's own alpha, N×1×H×W in [0, 1]: where it would change the images; 1 in one without blending."""
    return torch.sigmoid(editor.network(images).alpha_logits)


def _check(editor: Editor, images: Tensor, strength: float) -> None:
    if not 0 <= strength <= MAX_STRENGTH:
        raise UserError(
            f"The strength is {strength:g}, expected 0 to {MAX_STRENGTH:g}.", "0 leaves the image, 1 is the full edit."
        )
    height, width = images.shape[-2:]
    divisor = editor.network.config.divisor
    if width % divisor or height % divisor:
        raise UserError(
            f"The image is {width}×{height} px, expected sides divisible by {divisor}.",
            f"Align the images to {editor.size_px}×{editor.size_px} px first.",
        )


def save_editor(directory: Path, network: EditorNetwork, attribute: str, training: dict[str, object]) -> None:
    """Write `editor.safetensors` and `editor.json` into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(network.state_dict().items())}
    save_file(state, directory / WEIGHTS)
    card = {
        "format": 1,
        "attribute": attribute,
        "network": network.config.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in network.parameters()),
        "training": training,
    }
    (directory / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_editor(directory: Path, device: torch.device | str = "cpu") -> Editor:
    """The editor of a payload, frozen; raises UserError that names the file which is missing or damaged."""
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
        config, attribute = EditorConfig.model_validate(card["network"]), str(card["attribute"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{directory / CARD}: not a readable editor card ({error}).", _REMEDY) from error
    network, digest = EditorNetwork(config), ""
    try:
        weights = (directory / WEIGHTS).read_bytes()
        network.load_state_dict(load(weights))
        digest = hashlib.sha256(weights).hexdigest()
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{directory / WEIGHTS}: not this editor's weights ({error}).", _REMEDY) from error
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Editor(network.eval().requires_grad_(False), attribute, digest)


_REMEDY = "Train it first: editloom run --select attribute_editor"
