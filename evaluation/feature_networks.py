"""Networks of the literature for set distances: InceptionV3 (FID) and DINOv2, through torch-fidelity, from files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from data.errors import UserError
from evaluation.metrics.frechet import INCEPTION

DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"
DINOV2_NETS = {
    "dinov2_vits14": "vit_small_patch14_dinov2",
    "dinov2_vitb14": "vit_base_patch14_dinov2",
    "dinov2_vitl14": "vit_large_patch14_dinov2",
}
"""Meta's name of each network, and timm's."""
DINOV2_SIDE = 16
"""Patches along a side of the 224 pixels that torch-fidelity shows the network."""
POSITIONS, UNUSED = "pos_embed", "mask_token"


class NetworkFeatures:
    """A network's features as a judge: float N×3×H×W in [-1, 1] → N×F; the images are rounded to 8 bits first."""

    def __init__(self, name: str, digest: str, extractor: nn.Module) -> None:
        self.name = name
        self.digest = digest
        self._extractor = extractor

    def features(self, images: Tensor) -> Tensor:
        """The network's vectors, N×F, computed where the images are."""
        levels = ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
        (vectors,) = self._extractor.to(images.device)(levels)
        return torch.as_tensor(vectors)


class InceptionFeatures(NetworkFeatures):
    """The 2048 features of FID: InceptionV3 as torch-fidelity ports it from the original."""

    def __init__(self, weights: Path | None = None, sha256: str | None = None) -> None:
        """Read the port's weights from a file, or without one those that torch-fidelity names, downloaded once.

        Raises UserError for a file that is missing, of another digest or network, and when nothing can be downloaded.
        """
        path = weights or _downloaded(URL_INCEPTION_V3)
        digest, state = _verified(path, sha256), _state(path)
        super().__init__(INCEPTION, digest, _inception(path, state))


class Dinov2Features(NetworkFeatures):
    """DINOv2's class token (Oquab et al., arXiv 2304.07193), for a Fréchet distance that is never called FID."""

    def __init__(self, weights: Path | None = None, sha256: str | None = None, name: str = "dinov2_vits14") -> None:
        """Read Meta's weights of the network `name` from a file, or without one download them once.

        Raises UserError as `InceptionFeatures` does, and for an unknown name.
        """
        if name not in DINOV2_NETS:
            raise UserError(f"There is no DINOv2 network `{name}` here.", f"Known: {', '.join(DINOV2_NETS)}.")
        path = weights or _downloaded(DINOV2_URL.format(name=name))
        digest, state = _verified(path, sha256), _state(path)
        super().__init__(name, digest, _Dinov2(name, path, state))


class _Dinov2(FeatureExtractorDinoV2):  # type: ignore[misc]
    """torch-fidelity's preprocessing before timm's ViT: its own way runs code from the network, and reads no file."""

    def __init__(self, name: str, path: Path, state: Mapping[str, Tensor]) -> None:
        FeatureExtractorBase.__init__(self, name, ["dinov2"])
        self.feature_extractor_internal_dtype = torch.float32
        # num_classes 0: the class token after the last norm, as Meta's own forward gives it.
        self.model = timm.create_model(DINOV2_NETS[name], pretrained=False, num_classes=0, img_size=14 * DINOV2_SIDE)
        fitted = {key: value for key, value in state.items() if key != UNUSED}
        if POSITIONS in fitted and fitted[POSITIONS].ndim == 3:
            fitted[POSITIONS] = positions_at(fitted[POSITIONS], DINOV2_SIDE)
        _load(self.model, fitted, path, name)
        self.requires_grad_(False).eval()


def positions_at(embedding: Tensor, side: int) -> Tensor:
    """Return a ViT's position embedding 1×(1 + S²)×C for side × side patches, as Meta's DINOv2 resizes it.

    Bicubic without antialiasing, by the factor (side + 0.1) / S that the network was trained with.
    """
    token, patches = embedding[:, :1], embedding[:, 1:]
    trained = math.isqrt(patches.shape[1])
    if trained == side or trained**2 != patches.shape[1]:
        return embedding
    plane = patches.reshape(1, trained, trained, -1).permute(0, 3, 1, 2)  # 1×S²×C → 1×C×S×S
    factor = (side + 0.1) / trained
    resized = F.interpolate(plane.float(), scale_factor=(factor, factor), mode="bicubic", antialias=False)
    return torch.cat([token, resized.permute(0, 2, 3, 1).flatten(1, 2).to(token)], dim=1)


def _inception(path: Path, state: Mapping[str, Tensor]) -> nn.Module:
    """torch-fidelity's InceptionV3; it takes its weights from a file of its own kind only, whatever kind ours is."""
    with NamedTemporaryFile(suffix=".pth") as own:
        torch.save(dict(state), own)
        own.flush()
        try:
            made = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=own.name)
        except RuntimeError as error:
            raise _misfit(path, "torch-fidelity's InceptionV3", error) from None
    net: nn.Module = made
    return net


def _load(model: Any, state: Mapping[str, Tensor], path: Path, what: str) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise _misfit(path, what, error) from None


def _verified(path: Path, sha256: str | None) -> str:
    """The file's sha256, which is `sha256` when that is given."""
    if not path.is_file():
        raise UserError(f"The weights {path} do not exist.", "Name the file, or none to download it.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and found != sha256:
        raise UserError(f"{path} has the sha256 {found}, expected {sha256}.", "Fetch the right file.")
    return found


def _state(path: Path) -> dict[str, Tensor]:
    """A file's tensors; nothing in it may run."""
    hint = "Give a .pth or .safetensors file of named tensors."
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever a broken file provokes in two readers
        raise UserError(f"{path} cannot be read as weights: {_first_line(error)}.", hint) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds something else than the tensors of a network.", hint)
    return state


def _downloaded(url: str) -> Path:
    """The file of a URL in torch's own cache, fetched when it is not there; its name may hold the hash's beginning."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    found = torch.hub.HASH_REGEX.search(path.name)
    try:
        torch.hub.download_url_to_file(url, str(path), found.group(1) if found else None, progress=False)
    except (OSError, RuntimeError) as error:
        said = f"{url} could not be downloaded: {_first_line(error)}."
        raise UserError(said, f"Download it elsewhere and name the file, or put it at {path}.") from None
    return path


def _misfit(path: Path, what: str, error: RuntimeError) -> UserError:
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    first = lines[0] if lines else _first_line(error)
    return UserError(f"{path} does not fit {what}: {first[:200].rstrip('.')}.", "Give the file of this very network.")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
