"""Slices: the images by what they show, so that a mean cannot hide for whom an editor fails."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from data.attribute_names import parts_of
from data.categories import FACE, category
from data.render.scene import Scene
from data.vehicles.scene import VehicleScene
from evaluation.edit_report import EditReport, ReportRow, Slices
from evaluation.metrics.metric import Metric
from evaluation.pixels import Images

FRONTAL_DEG = 10.0
"""Up to this yaw a view is frontal. Yaw is positive towards the image's right."""
EXPOSURES, LEVELS = (0.88, 1.0), (80.0, 140.0)
"""What parts dark, normal and bright: the renderer's exposure, and a photograph's mean luminance (8-bit levels)."""
MELANIN = (1.0 / 3.0, 2.0 / 3.0)
LIGHTS, TONES, SIDES = ("dark", "normal", "bright"), ("light", "medium", "dark"), ("left", "frontal", "right")
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights of red, green and blue."""
NAMED_BY_DIMENSIONS = ("_hair", "old", "fringe")
"""Attributes of faces that the dimensions hair style, hair colour and age already tell apart."""


@dataclass(frozen=True)
class SliceMetric:
    """One metric over the images of one slice."""

    dimension: str
    label: str
    metric: Metric

    @property
    def title(self) -> str:
        """The slice in words."""
        return f"{self.dimension}: {self.label.replace('_', ' ')}"


def scene_slices(scenes: Sequence[Scene | VehicleScene], attribute: str, of: str = FACE.name) -> Slices:
    """Return the slices of N rendered images by what their scenes say; the parts of `attribute` are left out."""
    kind = category(of)
    held = [[name for name, there in kind.attributes_of(scene).items() if there] for scene in scenes]
    known = {
        "pose": _binned([scene.pose.yaw_deg for scene in scenes], (-FRONTAL_DEG, FRONTAL_DEG), SIDES),
        "light": _binned([scene.light.exposure for scene in scenes], EXPOSURES, LIGHTS),
    }
    faces = [scene for scene in scenes if isinstance(scene, Scene)]
    if len(faces) == len(scenes):
        known |= _face_slices(faces)
        return _told_apart(known | attribute_slices(held, attribute, _other_attributes(kind.attributes)))
    return _told_apart(known | attribute_slices(held, attribute, kind.attributes))


def _face_slices(scenes: Sequence[Scene]) -> dict[str, tuple[str, ...]]:
    return {
        "skin tone": _binned([scene.subject.melanin for scene in scenes], MELANIN, TONES),
        "hair style": tuple(scene.hair.style for scene in scenes),
        "hair colour": tuple(scene.hair.colour for scene in scenes),
        "age": tuple("old" if scene.age > 0.5 else "young" for scene in scenes),
    }


def label_slices(labels: Sequence[Collection[str]], attribute: str, of: str = FACE.name) -> Slices:
    """Return the slices of N photographs by their labels; the parts of `attribute` are left out."""
    return _told_apart(attribute_slices(labels, attribute, category(of).attributes))


def photo_slices(images: Images, angles_deg: ArrayLike) -> Slices:
    """Return the slices that need no label: pose by a judge's yaw (angles N×3), light by luminance (N×H×W×3)."""
    luminance = images.mean(axis=(1, 2)) @ np.asarray(LUMA)
    yaw = np.asarray(angles_deg, dtype=np.float64)[:, 0]
    known = {
        "pose": _binned(yaw, (-FRONTAL_DEG, FRONTAL_DEG), SIDES),
        "light": _binned(luminance, LEVELS, LIGHTS),
    }
    return _told_apart(known)


def attribute_slices(
    held: Sequence[Collection[str]], attribute: str, attributes: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return a dimension per attribute but those being added: whether each of N images has it."""
    others = [name for name in attributes if name not in parts_of(attribute)]
    return {name.replace("_", " "): tuple("with" if name in names else "without" for names in held) for name in others}


def _other_attributes(attributes: Sequence[str]) -> list[str]:
    return [name for name in attributes if not name.endswith(NAMED_BY_DIMENSIONS)]


def _binned(values: ArrayLike, edges: Sequence[float], labels: Sequence[str]) -> tuple[str, ...]:
    array = np.asarray(values, dtype=np.float64)
    bins = np.digitize(array, edges)
    return tuple("" if np.isnan(value) else labels[place] for value, place in zip(array, bins, strict=True))


def _told_apart(slices: Slices) -> Slices:
    """Without the dimensions in which all images are alike: their one slice is the whole."""
    return {dimension: labels for dimension, labels in slices.items() if len(set(labels) - {""}) > 1}


def slice_metrics(
    row: ReportRow, slices: Slices, minimum_images: int = 20, names: Collection[str] | None = None
) -> tuple[SliceMetric, ...]:
    """Return each measure of a row (those of `names`) over every slice that holds at least `minimum_images`."""
    wanted = [one for one in row.measures if names is None or one.name in names]
    found = []
    for dimension, labels in slices.items():
        array = np.asarray(labels, dtype=str)
        for label in sorted(set(labels) - {""}):
            keep = array == label
            if keep.sum() < minimum_images:
                continue
            metrics = (one.metric(row.subjects, row.bootstrap, keep) for one in wanted)
            found += [SliceMetric(dimension, label, metric) for metric in metrics if metric.n >= minimum_images]
    return tuple(found)


def worst_slices(metrics: Iterable[SliceMetric]) -> Mapping[str, SliceMetric]:
    """Return, by metric name, the slice furthest from the better end; metrics without a better end have none."""
    worst: dict[str, SliceMetric] = {}
    for one in metrics:
        name, value, better = one.metric.name, one.metric.value, one.metric.higher_is_better
        if value is None or better is None:
            continue
        known = worst[name].metric.value if name in worst else None
        if known is None or (value < known if better else value > known):
            worst[name] = one
    return worst


def worst_slice(report: EditReport, metric_name: str) -> SliceMetric | None:
    """Return the report's worst slice of a metric; None when no slice holds enough images, or neither end is better."""
    minimum = report.config.slice_images
    return worst_slices(slice_metrics(report.rows[0], report.slices, minimum, (metric_name,))).get(metric_name)
