"""A small OpenCLIP model as a judge's network, of which only the words that captions use are stored."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.captions import all_phrases

ARCHITECTURES = Path(__file__).with_name("architectures")
SMALL = "editloom-clip"
EMBEDDING = "model.token_embedding.weight"
MAX_SCALE = 100.0  # as OpenCLIP bounds it


class ClipNet(nn.Module):
    """OpenCLIP's image and text tower, with the statistics of its own training images.

    `mean` and `std` are of the three channels of images in [-1, 1]; `tokens` are the ids of the words it learnt.
    """

    def __init__(self, architecture: str, mean: Sequence[float], std: Sequence[float], tokens: Sequence[int]) -> None:
        super().__init__()
        self.architecture = architecture
        self.model = build_open_clip(architecture)
        self.tokens = tuple(tokens)
        self.mean = tuple(mean)
        self.std = tuple(std)

    def encode_image(self, images: Tensor) -> Tensor:
        """Unit vectors N×D of N×3×H×W images in [-1, 1], normalised with this network's own statistics.

        They are brought to the architecture's size, which is larger than the judges': its first layers are coarse.
        """
        mean, std = (images.new_tensor(value).view(1, 3, 1, 1) for value in (self.mean, self.std))
        sized = F.interpolate(images, size=self.model.visual.image_size, mode="bilinear", align_corners=False)
        seen = ((sized - mean) / std).contiguous(memory_format=torch.channels_last)
        vectors: Tensor = self.model.encode_image(seen)
        return F.normalize(vectors.float(), dim=1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Unit vectors M×D of M×L token ids."""
        vectors: Tensor = self.model.encode_text(tokens)
        return F.normalize(vectors.float(), dim=1)

    @property
    def scale(self) -> Tensor:
        """The learnt inverse temperature."""
        scale: Tensor = self.model.logit_scale.exp()
        return scale.clamp(max=MAX_SCALE)

    def compact(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state without the embeddings of the words that no caption uses."""
        return {**state, EMBEDDING: state[EMBEDDING][list(self.tokens)].contiguous()}

    def expand(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A compact state with a zero vector for every other word; KeyError or IndexError for one of another net."""
        whole = torch.zeros_like(self.model.token_embedding.weight)
        whole[list(self.tokens)] = state[EMBEDDING].to(whole.dtype)
        return {**state, EMBEDDING: whole}


def build_open_clip(architecture: str) -> Any:
    """An untrained OpenCLIP model of a registered name, ours among them; weights from torch's current generator."""
    import open_clip  # seconds: only who needs a sentence pays for it

    _register()
    with _untrained_on_purpose():
        return open_clip.create_model(architecture, load_weights=False, pretrained_text=False)


@contextmanager
def _untrained_on_purpose() -> Iterator[None]:
    """OpenCLIP warns, on the root logger, of a model without weights: they are filled in next, or trained."""
    root = logging.getLogger()

    def wanted(record: logging.LogRecord) -> bool:
        return "No pretrained weights" not in record.getMessage()

    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


def tokenize(texts: Sequence[str], architecture: str = SMALL) -> Tensor:
    """OpenCLIP's own tokens of sentences, int64 M×L."""
    tokens: Tensor = _tokenizer(architecture)(list(texts))
    return tokens


def caption_tokens(category: str) -> tuple[int, ...]:
    """The ids of every token that captions of a category can hold, start, end and padding among them, sorted."""
    return tuple(int(token) for token in torch.unique(tokenize(all_phrases(category))))


@cache
def _tokenizer(architecture: str) -> Any:
    import open_clip

    _register()
    return open_clip.get_tokenizer(architecture)


def _register() -> None:
    import open_clip

    if SMALL not in open_clip.list_models():
        open_clip.add_model_config(ARCHITECTURES)
