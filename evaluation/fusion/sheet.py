"""The disclosure's figure: original, feature image, joint mask, what each fusion made, target; and strips of strength.

Source: US 2024/0193822 A1 (METHODS A4–A7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.fusion.candidates import schedule_name
from evaluation.pixels import Images, to_images, to_tensor
from evaluation.sheet import STYLE, Picture, at_size, enlarge, mask_image, sheet
from training.fusion import FusedBatch, feature_ws, fused_batch
from training.fusion_schedule import FusionConfig
from training.joint_mask import MaskSource
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

MAX_CELL_PX = 256
TRIES_PER_ROW = 20
FUSION_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
EDITOR_STRENGTHS = (0.0, 0.5, 1.0, 1.25, 1.5)
StrengthEditor = Callable[[Tensor, float], Tensor]
"""Edits images N×3×H×W in [-1, 1] at a strength."""


@dataclass(frozen=True)
class Fusing:
    """What pairs are fused from: the networks, the mask source, the schedule, the pull of w towards its mean."""

    original: Generator
    feature: Generator
    masks: MaskSource
    schedule: FusionConfig
    truncation_psi: float = 1.0


@dataclass(frozen=True)
class Codes:
    """Latents z N×z_dim and layer noise of some indices of a seed."""

    seed: int
    indices: Tensor
    z: Tensor
    noise: Mapping[str, Tensor]

    @classmethod
    def of(cls, generator: Generator, seed: int, indices: NDArray[np.int64]) -> Codes:
        """The codes that pairs of these indices have, on the generator's device."""
        rows, device = torch.from_numpy(indices), next(generator.parameters()).device
        noise = layer_noise(seed, rows, generator.synthesis.layer_sizes)
        z = latents(seed, rows, generator.config.z_dim).to(device)
        return cls(seed, rows, z, {name: maps.to(device) for name, maps in noise.items()})

    @property
    def labels(self) -> list[str]:
        """What a sheet's rows are called."""
        return [f"seed {self.seed}, code {index}" for index in self.indices.tolist()]


@torch.inference_mode()
def lacking_codes(
    original: Generator,
    probability: Callable[[Tensor], Tensor],
    seed: int,
    rows: int,
    max_probability: float,
    truncation_psi: float = 1.0,
) -> NDArray[np.int64]:
    """Return the first `rows` indices of a seed whose original image lacks the attribute, as pairs need it.

    Where too few of the first 20·rows do, the others come last: a sheet has its rows in any case.
    """
    indices = np.arange(rows * TRIES_PER_ROW, dtype=np.int64)
    lacking: list[int] = []
    for start in range(0, len(indices), rows):
        part = indices[start : start + rows]
        codes = Codes.of(original, seed, part)
        seen = probability(original(codes.z, codes.noise, truncation_psi).clamp(-1, 1))
        lacking += part[(seen <= max_probability).cpu().numpy()].tolist()
        if len(lacking) >= rows:
            break
    rest = [index for index in indices.tolist() if index not in lacking]
    return np.array([*lacking, *rest][:rows], dtype=np.int64)


@torch.inference_mode()
def fusion_figure(fusing: Fusing, seed: int, indices: NDArray[np.int64], title: str = "") -> Picture:
    """Return the disclosure's figure for some codes: a row per code.

    Columns: original, feature image, joint mask, the running image right after each fusion, what the original network
    makes of it where more fusions follow, target.
    """
    codes = Codes.of(fusing.original, seed, indices)
    fused = _fused(fusing, codes)
    columns = [
        ("original", to_images(fused.original)),
        ("feature network", to_images(_feature_image(fusing, codes, fused))),
        (f"joint mask ({fusing.schedule.joint})", mask_image(fused.mask[:, 0].float().cpu().numpy())),
        *_fusion_columns(fusing, codes, fused),
        ("target", to_images(fused.target)),
    ]
    return _sheet(columns, title, schedule_name(fusing.schedule), codes.labels)


@torch.inference_mode()
def strength_figure(
    fusing: Fusing,
    seed: int,
    indices: NDArray[np.int64],
    title: str = "",
    strengths: Sequence[float] = FUSION_STRENGTHS,
) -> Picture:
    """Return targets at several strengths 1 − a of every fusion: a row per code, strength 0 is the original."""
    codes = Codes.of(fusing.original, seed, indices)
    columns = [
        (f"1 - a = {strength:g}", to_images(_fused(_at(fusing, 1 - strength), codes).target)) for strength in strengths
    ]
    return _sheet(columns, title, f"fused at {schedule_name(fusing.schedule)}", codes.labels)


@torch.inference_mode()
def editor_figure(
    editor: StrengthEditor,
    inputs: Images,
    truth: Images | None = None,
    title: str = "",
    strengths: Sequence[float] = EDITOR_STRENGTHS,
) -> Picture:
    """Return edits y = x + s·(e − x) of N×H×W×3 held-out images at several strengths s, a row per image.

    The true counterfactuals, where there are any, are the last column.
    """
    faces = to_tensor(inputs)
    columns = [(f"strength {strength:g}", to_images(editor(faces, strength))) for strength in strengths]
    columns += [] if truth is None else [("true counterfactual", truth)]
    return _sheet(columns, title, "held-out images, never trained on", ())


def _fused(fusing: Fusing, codes: Codes) -> FusedBatch:
    psi = fusing.truncation_psi
    given = codes.z if fusing.schedule.input == "z" else fusing.original.mapping(codes.z, psi)
    return fused_batch(fusing.original, fusing.feature, given, codes.noise, fusing.masks, fusing.schedule, psi)


def _feature_image(fusing: Fusing, codes: Codes, fused: FusedBatch) -> Tensor:
    """The feature network's end image, run for the figure's sake where the fusion needed less of it."""
    if fused.feature is not None:
        return fused.feature
    ws = fusing.original.mapping(codes.z, fusing.truncation_psi)
    theirs = feature_ws(fusing.feature, codes.z, ws, fusing.schedule, fusing.truncation_psi)
    image: Tensor = fusing.feature.synthesis(theirs, codes.noise)
    return image


def _fusion_columns(fusing: Fusing, codes: Codes, fused: FusedBatch) -> list[tuple[str, Images]]:
    size_px, layers = fused.original.shape[-1], fusing.schedule.layers
    columns: list[tuple[str, Images]] = []
    for number, (spec, stage) in enumerate(zip(layers, fused.stages, strict=True), start=1):
        columns.append((f"fused at {spec.layer} a {spec.a:g}", at_size(to_images(stage), size_px)))
        if number < len(layers):
            so_far = fusing.schedule.model_copy(update={"layers": layers[:number]})
            alone = _fused(_with(fusing, so_far), codes)
            columns.append((f"target after {spec.layer}", to_images(alone.target)))
    return columns


def _at(fusing: Fusing, a: float) -> Fusing:
    layers = tuple(spec.model_copy(update={"a": a}) for spec in fusing.schedule.layers)
    return _with(fusing, fusing.schedule.model_copy(update={"layers": layers}))


def _with(fusing: Fusing, schedule: FusionConfig) -> Fusing:
    return Fusing(fusing.original, fusing.feature, fusing.masks, schedule, fusing.truncation_psi)


def _sheet(columns: Sequence[tuple[str, Images]], title: str, subtitle: str, labels: Sequence[str]) -> Picture:
    """A sheet whose cells have one size: that of the end image, enlarged to be seen or shrunk to fit."""
    cell_px = min(enlarge(columns[0][1][0], STYLE.cell_px).shape[0], MAX_CELL_PX)
    cells = [(name, at_size(images, cell_px)) for name, images in columns]
    return sheet(cells, title=title, subtitle=subtitle, row_labels=labels)
