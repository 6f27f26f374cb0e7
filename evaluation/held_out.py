"""Held-out images: test-split images that lack an attribute, with the true counterfactuals of rendered ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.alignment import align, align_labels
from data.attribute_names import has_all, has_any
from data.categories import FACE, category, regions_of, with_attributes
from data.errors import UserError
from data.manifest import read_manifest
from data.shards import read_images
from evaluation.edit_report import Slices
from evaluation.slices import label_slices, scene_slices

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
SAME_RENDER_LEVELS = 0.5
"""Mean difference up to which two renders of a scene count as equal: another kind of CPU may round differently."""


@dataclass(frozen=True)
class Reference:
    """Test-split images that have the attribute: what edited images are compared with as a set."""

    images: Images
    subjects: tuple[str, ...]


@dataclass(frozen=True)
class HeldOut:
    """Images to edit: N×H×W×3 inputs, what they should become, and where nothing should change (N×H×W).

    Photographs have neither `counterfactuals` nor `outside`: the parser judge then finds the region. `slices` are those
    that scenes or labels tell.
    """

    attribute: str
    inputs: Images
    counterfactuals: Images | None
    outside: Masks | None
    subjects: tuple[str, ...]
    sources: tuple[str, ...]
    sha256s: tuple[str, ...]
    reference: Reference
    category: str = FACE.name
    slices: Slices = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)


def held_out_set(aligned_dir: Path, attribute: str, limit: int = 500, of: str = FACE.name) -> HeldOut:
    """Return up to `limit` test-split images of a category that lack `attribute` by label, ordered by their hashes.

    Of a combined attribute they lack every part, and the reference images have every part. Raises UserError when
    there is none, when the attribute is unknown, or when another renderer made the images.
    """
    regions_of(attribute, of)
    test = held_out_rows(aligned_dir)
    lacks = ~test["attributes"].map(lambda names: has_any(attribute, names)).to_numpy(dtype=bool)
    has = test["attributes"].map(lambda names: has_all(attribute, names)).to_numpy(dtype=bool)
    rows, with_it = test[lacks].head(limit), test[has]
    if rows.empty:
        raise UserError(
            f"No held-out image in {aligned_dir} lacks the attribute {attribute!r}.",
            "Ingest more subjects: a report needs test-split images without the attribute.",
        )
    inputs = read_images(aligned_dir, rows)
    scenes = _scenes(rows, of)
    counterfactuals, outside = _truth(rows, scenes, inputs, attribute, of) if scenes else (None, None)
    labels = [tuple(names) for names in rows["attributes"]]
    slices = scene_slices(scenes, attribute, of) if scenes else label_slices(labels, attribute, of)
    return HeldOut(
        attribute, inputs, counterfactuals, outside, tuple(rows["subject"]),
        tuple(rows["source"]), tuple(rows["sha256"]),
        Reference(read_images(aligned_dir, with_it), tuple(with_it["subject"])), of, slices,
    )  # fmt: skip


def held_out_rows(aligned_dir: Path) -> pd.DataFrame:
    """Return the manifest's test-split rows in the order of their hashes; raises UserError when there is none."""
    manifest = read_manifest(aligned_dir)
    rows = manifest[manifest["split"] == "test"].sort_values("sha256").reset_index(drop=True)
    if rows.empty:
        hint = "Ingest more subjects, or raise the test fraction."
        raise UserError(f"{aligned_dir} holds no test-split image.", hint)
    return rows


def dilate(masks: Masks, radius_px: int) -> Masks:
    """Return N×H×W masks grown by `radius_px` pixels in the eight directions."""
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), dtype=np.uint8)
    return np.stack([cv2.dilate(mask.astype(np.uint8), kernel) > 0 for mask in masks])


def _scenes(rows: pd.DataFrame, of: str) -> list[Any]:
    """The renderer's scene of each row; none when some are photographs."""
    if not rows["scene"].notna().all():
        return []
    return [category(of).scene_from_json(text) for text in rows["scene"]]


def _truth(rows: pd.DataFrame, scenes: Sequence[Any], inputs: Images, attribute: str, of: str) -> tuple[Images, Masks]:
    """True counterfactuals, and what lies outside the region of input and counterfactual, dilated by one pixel."""
    kind, classes = category(of), _region_classes(attribute, of)
    images, changed = [], []
    for row, scene, stored in zip(rows.to_dict("records"), scenes, inputs, strict=True):
        transform = np.asarray(row["transform"], np.float64).reshape(2, 3)
        pair = kind.render([scene, with_attributes(scene, attribute, of)], row["parent_width"])
        _require_same_render(align(pair.images[0], transform, row["width"]), stored, row["source"])
        images.append(align(pair.images[1], transform, row["width"]))
        changed.append(_regions(pair.regions, classes, transform, row["width"]).any(axis=0))
    return np.stack(images), ~dilate(np.stack(changed), 1)


def _require_same_render(again: Images, stored: Images, source: str) -> None:
    """A renderer that changed since the images were made would put its change into every counterfactual."""
    difference = np.abs(again.astype(np.int16) - stored.astype(np.int16)).mean()
    if difference > SAME_RENDER_LEVELS:
        raise UserError(
            f"{source} rendered again differs from the stored image by {difference:.1f} levels on average: "
            "another version of the renderer made it.",
            "Materialize `images` and `aligned_images` again.",
        )


def _region_classes(attribute: str, of: str) -> list[int]:
    """The class indices of the attribute's regions."""
    return [category(of).regions.index(region) for region in regions_of(attribute, of)]


def _regions(labels: Images, classes: list[int], transform: NDArray[np.float64], size_px: int) -> Masks:
    """Where the classes are in each aligned crop: N×H×W class indices → N×S×S."""
    return np.stack([np.isin(align_labels(one, transform, size_px), classes) for one in labels])
