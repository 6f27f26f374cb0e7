"""The report of mask fusion: its pairs as they are stored, and its trade-off beside other ways to edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.fusion.baselines import MOVED, TITLES, Networks, methods
from evaluation.fusion.edit_measures import EditMeasures, Subject, edit_metrics, glance, joined, measure_edit
from evaluation.fusion.pareto import Comparison, Curve, compare
from evaluation.fusion.pareto_picture import pareto_picture
from evaluation.fusion.tradeoff import MeasuredMethod, faces_without, measure_methods, method_sheet
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.pixels import Images, batches
from evaluation.sheet import Picture
from training.latent_direction import LatentDirection, latent_direction

PAIRS, NOTHING = "pairs", "did_nothing"
DIRECTION_FROM = 1 << 30
"""First index of the faces that the latent direction is made of: the edited ones stand far below."""


class PairImages(Protocol):
    """The images of some stored pairs, N×H×W×3 uint8."""

    @property
    def originals(self) -> Images: ...
    @property
    def targets(self) -> Images: ...


class Pairs(Protocol):
    """Stored pairs, read by row."""

    def __len__(self) -> int: ...
    def batch(self, rows: NDArray[np.int64]) -> PairImages: ...


@dataclass(frozen=True)
class FusionReportConfig:
    """How much is measured: stored pairs, edited faces, faces behind the latent direction, strengths."""

    pairs: int = 500
    images: int = 200
    direction_images: int = 2000
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    direction_strengths: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)
    batch_size: int = 50
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    sheet_rows: int = 6


@dataclass(frozen=True)
class ReportRow:
    """One row of metrics: the pairs, doing nothing, or a method at one strength."""

    key: str
    title: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class FusionReport:
    """Everything measured about one attribute's fusion; `direction` None: too few faces to make one."""

    subject: Subject
    config: FusionReportConfig
    rows: tuple[ReportRow, ...]
    pairs: int
    images: int
    curves: tuple[Curve, ...]
    comparisons: tuple[Comparison, ...]
    direction: LatentDirection | None
    sheet: Picture
    picture: Picture

    def headline(self) -> dict[str, float]:
        """Return every measured value by `row/metric`, as a tracking server takes them."""
        pairs = ((f"{row.key}/{metric.name}", metric.value) for row in self.rows for metric in row.metrics)
        return {name: value for name, value in pairs if value is not None}


def evaluate_fusion(
    networks: Networks,
    pairs: Pairs,
    label: Callable[[Tensor], Tensor],
    subject: Subject,
    config: FusionReportConfig | None = None,
) -> FusionReport:
    """Measure stored pairs, and mask fusion beside its baselines on faces of the report's own seed.

    `subject` sees by evaluation judges alone; `label` (N×3×H×W → N), a training judge's probability, sorts the faces
    behind the latent direction. Raises UserError where the networks do not belong together or no face can be edited.
    """
    config = config or FusionReportConfig()
    networks.check()
    direction = latent_direction(
        networks.original, label, networks.seed,
        torch.arange(DIRECTION_FROM, DIRECTION_FROM + config.direction_images), 0.5, networks.truncation_psi,
        config.batch_size,
    )  # fmt: skip
    indices = faces_without(networks, subject, config.images, config.batch_size)
    ways = methods(networks, direction, config.strengths, config.direction_strengths)
    measured = measure_methods(networks, subject, ways, indices, config.batch_size)
    curves = tuple(one.curve(subject.threshold) for one in measured)
    strengths = _like_strengths(curves)
    chosen = [(one.method, strength) for one, strength in zip(measured, strengths, strict=True)]
    name = subject.attribute.replace("_", " ")
    rows = pair_rows(pairs, subject, config)
    return FusionReport(
        subject, config, (*rows, *_method_rows(measured, strengths, indices.tolist(), subject, config)),
        min(config.pairs, len(pairs)), len(indices), curves,
        tuple(one for theirs in curves[1:] for one in compare(curves[0], theirs, config.bootstrap)), direction,
        method_sheet(networks, chosen, indices[: config.sheet_rows], name),
        pareto_picture(curves, f"{name}: success against change outside", subject.judges[0].name),
    )  # fmt: skip


def pair_rows(pairs: Pairs, subject: Subject, config: FusionReportConfig) -> tuple[ReportRow, ReportRow]:
    """Measure stored pairs, evenly spread over the payload, and the row that answers with the original itself."""
    wanted = np.unique(np.linspace(0, len(pairs) - 1, min(config.pairs, len(pairs))).round().astype(np.int64))
    edited: list[EditMeasures] = []
    nothing: list[EditMeasures] = []
    for part in batches(len(wanted), config.batch_size):
        images = pairs.batch(wanted[part])
        seen = glance(subject, images.originals)
        edited.append(measure_edit(subject, images.originals, seen, images.targets))
        nothing.append(measure_edit(subject, images.originals, seen, images.originals))
    clusters = [str(row) for row in wanted]
    rows = ((PAIRS, "training pairs", edited), (NOTHING, "did nothing", nothing))
    first, second = (
        ReportRow(key, title, edit_metrics(joined(parts), subject, clusters, config.bootstrap))
        for key, title, parts in rows
    )
    return first, second


def _like_strengths(curves: Sequence[Curve]) -> list[float]:
    """Ours at full strength; each baseline where it succeeds about as often, or as often as it can."""
    ours = curves[0]
    success = float(ours.values("success")[0, -1])
    return [ours.strengths[-1], *(theirs.strength_like(success) for theirs in curves[1:])]


def _method_rows(
    measured: Sequence[MeasuredMethod],
    strengths: Sequence[float],
    indices: Sequence[int],
    subject: Subject,
    config: FusionReportConfig,
) -> list[ReportRow]:
    clusters = [str(index) for index in indices]
    return [
        ReportRow(
            one.method.key,
            f"{TITLES[one.method.key]}, s = {strength:g}",
            edit_metrics(one.at(strength), subject, clusters, config.bootstrap),
        )
        for one, strength in zip(measured, strengths, strict=True)
    ]


def lacks_direction(report: FusionReport) -> bool:
    """Whether the latent direction could not be measured."""
    return all(curve.key != MOVED for curve in report.curves)
