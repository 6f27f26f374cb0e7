"""Which source makes the masks, and the user's own file behind it. Knows no torch: planning asks too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data.errors import UserError
from training.entry_point import source_file

KEY = "edit_pairs.mask"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class OnnxParserConfig(BaseModel):
    """What an ONNX face parser takes, and which regions its classes belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | None = Field(default=None, min_length=1, description="the file; relative to the workspace or absolute")
    size_px: int = Field(default=512, ge=16, le=4096, description="side of the images it takes, pixels")
    labels: Mapping[str, tuple[int, ...]] = Field(default_factory=dict, description="region: numbers of its classes")
    mean: tuple[float, float, float] = Field(
        default=IMAGENET_MEAN, description="subtracted from images in [0, 1], in the model's order of channels"
    )
    std: tuple[float, float, float] = Field(default=IMAGENET_STD, description="what they are divided by after that")
    order: Literal["RGB", "BGR"] = Field(default="RGB", description="order of the channels it takes")


class MaskConfig(BaseModel):
    """Which source says where an attribute lives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["judge", "onnx", "python"] = Field(
        default="judge", description="the parser judge, an ONNX face parser, or a function of the user's"
    )
    dilate_px: int = Field(default=1, ge=0, le=64, description="pixels by which each mask is widened")
    onnx: OnnxParserConfig = Field(default_factory=OnnxParserConfig, description="read when source is onnx")
    entry_point: str | None = Field(
        default=None, description="module:function, images N×3×H×W in [-1, 1] → masks N×1×H×W; when source is python"
    )


def mask_file(config: MaskConfig, root: Path) -> Path | None:
    """The user's own file that the masks are made by, found from the directory `root`; None for the judge.

    Raises UserError when it is not named or not there.
    """
    if config.source == "onnx":
        return _onnx_file(config.onnx.path, root)
    if config.source == "python":
        key = f"{KEY}.entry_point"
        return source_file(_named(config.entry_point, key, "python"), root, key)
    return None


def file_digest(path: Path) -> str:
    """sha256 of a file, computed once while its size and time stay."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _onnx_file(named: str | None, root: Path) -> Path:
    key = f"{KEY}.onnx.path"
    path = root / _named(named, key, "onnx")
    if not path.is_file():
        raise UserError(f"{key}: there is no file {path}.", "Name the face parser's ONNX file.")
    return path


def _named(value: str | None, key: str, source: str) -> str:
    if value is None:
        raise UserError(f"{key} is not set, but {KEY}.source is {source}.", f"Set it, or set {KEY}.source: judge.")
    return value
