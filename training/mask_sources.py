"""Where masks come from: the parser judge, an ONNX face parser, or a function of the user's.

Source: US 2024/0193822 A1 (METHODS A4). Every source is tried on a small batch before anything is made with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from data.errors import UserError
from training.entry_point import load_function
from training.joint_mask import MaskSource, ParserMask, dilate
from training.judges import JudgeSet
from training.mask_config import KEY, MaskConfig, OnnxParserConfig, file_digest, mask_file
from training.onnx_parser import OnnxParser

__all__ = ["MaskConfig", "OnnxParserConfig", "mask_digest", "mask_source"]

PROBE_IMAGES, PROBE_SEED = 2, 0


class FunctionMask:
    """Mask source that asks a function, sees to it that its answer is a mask, and widens it by `dilate_px`."""

    def __init__(self, function: Callable[[Tensor], object], dilate_px: int) -> None:
        self.function = function
        self.dilate_px = dilate_px

    def __call__(self, images: Tensor) -> Tensor:
        """Masks N×1×h×w in [0, 1] of images N×3×h×w in [-1, 1]; UserError when the function gives something else."""
        key, given = f"{KEY}.entry_point", f"It was given {images.dtype} {list(images.shape)} in [-1, 1]."
        try:
            answer = self.function(images.clone())  # it may write into its argument
        except Exception as error:  # whatever the user's function raises
            said = f"{key}: the function failed: {type(error).__name__}: {error}"
            raise UserError(said, given) from error
        return dilate(checked_mask(answer, images, key).to(images), self.dilate_px)


def mask_source(
    config: MaskConfig,
    regions: Sequence[str],
    judges: JudgeSet,
    size_px: int,
    device: torch.device | str = "cpu",
    root: Path = Path(),
) -> MaskSource:
    """The source that `config` names, tried on random images N×3×size×size on `device`.

    Paths and modules are found from the directory `root`, the workspace. Raises UserError that names the key and what
    came back when it does not give float masks N×1×H×W, finite and in [0, 1].
    """
    source = _source(config, regions, judges, root)
    generator = torch.Generator().manual_seed(PROBE_SEED)
    probe = torch.rand(PROBE_IMAGES, 3, size_px, size_px, generator=generator).to(device) * 2 - 1
    with torch.no_grad():
        checked_mask(source(probe), probe, KEY)
    return source


def mask_digest(config: MaskConfig, judges: JudgeSet, root: Path = Path()) -> str:
    """What the masks are made by: sha256 of the parser judge, of the ONNX file, or of the user's module.

    Raises UserError when the file is missing.
    """
    file = mask_file(config, root)
    return judges.digests["parser_train"] if file is None else file_digest(file)


def checked_mask(answer: object, images: Tensor, key: str) -> Tensor:
    """`answer` when it is a mask of `images` N×3×H×W; raises UserError that names `key` and what came back."""
    expected = [len(images), 1, *images.shape[2:]]
    if not isinstance(answer, Tensor):
        raise _not_a_mask(key, f"a {type(answer).__name__}", expected)
    if list(answer.shape) != expected or not answer.is_floating_point():
        raise _not_a_mask(key, f"{answer.dtype} {list(answer.shape)}", expected)
    if not bool(answer.isfinite().all()):
        raise _not_a_mask(key, "values that are not finite", expected)
    low, high = float(answer.min()), float(answer.max())
    if low < 0 or high > 1:
        raise _not_a_mask(key, f"values from {low:.4g} to {high:.4g}", expected)
    return answer


def _not_a_mask(key: str, found: str, expected: list[int]) -> UserError:
    return UserError(
        f"{key}: the mask source gave {found}, expected a float tensor {expected}, finite and in [0, 1].",
        "1 means that a pixel may change, 0 that it stays.",
    )


def _source(config: MaskConfig, regions: Sequence[str], judges: JudgeSet, root: Path) -> MaskSource:
    file = mask_file(config, root)
    if config.source == "python" and config.entry_point is not None:
        return FunctionMask(load_function(config.entry_point, root, f"{KEY}.entry_point"), config.dilate_px)
    if file is None:
        return ParserMask(judges.parser_train, regions, config.dilate_px)
    for name in config.onnx.labels:
        _check_region(name, judges.regions)
    return ParserMask(OnnxParser(config.onnx, file, f"{KEY}.onnx"), regions, config.dilate_px)


def _check_region(name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        suggestion = f"Did you mean {near[0]!r}? " if near else ""
        raise UserError(f"{KEY}.onnx.labels: there is no region {name!r}.", f"{suggestion}Known: {', '.join(known)}.")
