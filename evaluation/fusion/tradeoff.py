"""The trade-off measured: every method at every strength on the same generated faces that lack the attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.errors import UserError
from evaluation.fusion.baselines import Faces, Method, Networks, draw_faces
from evaluation.fusion.edit_measures import EditMeasures, Floats, Subject, glance, joined, measure_edit
from evaluation.fusion.pareto import Curve, stack
from evaluation.fusion.seams import seam_levels
from evaluation.pixels import to_images, to_tensor
from evaluation.sheet import Picture, sheet

CANDIDATES_PER_FACE = 20
"""Faces drawn for each one wanted, before the search for faces without the attribute ends."""


@dataclass(frozen=True)
class MeasuredMethod:
    """A method, and the measures of its edits (N faces) at each of its strengths."""

    method: Method
    points: tuple[EditMeasures, ...]

    def curve(self, threshold: float) -> Curve:
        """The method's trade-off curve."""
        measures = stack([point.ratios(threshold) for point in self.points])
        return Curve(self.method.key, self.method.title, self.method.strengths, measures)

    def at(self, strength: float) -> EditMeasures:
        """The measures at one of the strengths."""
        return self.points[self.method.strengths.index(strength)]


@torch.inference_mode()
def faces_without(networks: Networks, subject: Subject, count: int, batch_size: int) -> Tensor:
    """Return the first indices, at most `count`, whose original image lacks the attribute, by the evaluation judge.

    Raises UserError when none of 20 × `count` faces lacks it.
    """
    found: list[Tensor] = []
    for first in range(0, CANDIDATES_PER_FACE * count, batch_size):
        indices = torch.arange(first, first + batch_size)
        _, w, noise = networks.codes(indices)
        images = to_tensor(to_images(networks.original.synthesis(w, noise)), subject.panel.device)
        probability = subject.panel.attribute.probability(images, subject.attribute)
        found.append(indices[(probability < subject.threshold).cpu()])
        if sum(map(len, found)) >= count:
            break
    chosen = torch.cat(found)[:count]
    if not len(chosen):
        raise UserError(
            f"None of {CANDIDATES_PER_FACE * count} generated faces lacks {subject.attribute!r}: nothing to edit.",
            "Train the original network on images without the attribute too.",
        )
    return chosen


@torch.inference_mode()
def measure_methods(
    networks: Networks, subject: Subject, methods: Sequence[Method], indices: Tensor, batch_size: int
) -> tuple[MeasuredMethod, ...]:
    """Edit the faces of some indices (N) by every method at every strength, and measure each edit.

    Memory grows with the batch, not with N.
    """
    batches: list[list[list[EditMeasures]]] = [[[] for _ in method.strengths] for method in methods]
    for part in torch.split(indices, batch_size):
        faces = draw_faces(networks, part)
        before = to_images(faces.original)
        seen = glance(subject, before)
        for points, method in zip(batches, methods, strict=True):
            for point, strength in zip(points, method.strengths, strict=True):
                edited = method.edit(faces, strength)
                measures = measure_edit(subject, before, seen, to_images(edited))
                point.append(replace(measures, seam=_seam(faces, edited)))
    return tuple(
        MeasuredMethod(method, tuple(joined(point) for point in points))
        for points, method in zip(batches, methods, strict=True)
    )


def _seam(faces: Faces, edited: Tensor) -> Floats:
    original, feature, shown = (image.clamp(-1, 1) for image in (faces.original, faces.feature, edited))
    return np.asarray(seam_levels(original, feature, shown, faces.mask).double().cpu().numpy())


@torch.inference_mode()
def method_sheet(networks: Networks, chosen: Sequence[tuple[Method, float]], indices: Tensor, title: str) -> Picture:
    """Return a sheet: one row per index, the original and each method's edit at its strength beside it."""
    faces = draw_faces(networks, indices)
    columns = [("original", to_images(faces.original))]
    columns += [(f"{method.title}, s = {s:g}", to_images(method.edit(faces, s))) for method, s in chosen]
    return sheet(columns, title=title, subtitle="faces that lack the attribute; strengths of like success")
