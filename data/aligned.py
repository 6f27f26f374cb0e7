"""The aligned image set: every picture moved so that its reference points stand at the template's positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from data.alignment import Landmarks, Template, Transform, align, similarity, transform_points
from data.consent import Withheld
from data.counting import CountFn, uncounted
from data.decoding import decode_image
from data.errors import UserError
from data.image_set import ImageSetSummary, ImageSetWriter, read_dataset, row_of
from data.landmarks import dlib_detector, reference_distance
from data.manifest import ImageRow, read_manifest
from data.parallel import chunks, ordered
from data.png import Pixels, decode_png, encode_png
from data.quarantine import BadImageError, Reason, Rejection
from data.reference_part import reference_part
from data.shards import iter_images, iter_payloads

_CHUNK = 64
_CHUNK_PHOTOS = 4


@dataclass(frozen=True)
class AlignmentConfig:
    """Size and place of the aligned crops, and who finds the landmarks.

    `reference` is an image of the set (its source or sha256) or an image file, whose own reference points replace the
    template. `detector`: `manifest` takes the landmarks that the renderer wrote, `dlib` finds a face's.
    `min_inter_ocular_px` holds for the reference points of any category.
    Raises UserError for a template or a detector of another category.
    """

    size_px: int = 64
    template: Template = field(default_factory=Template)
    reference: str | None = None
    detector: Literal["manifest", "dlib"] = "manifest"
    multiple_faces: Literal["largest", "all"] = "largest"
    min_inter_ocular_px: float = 8.0
    category: str = "face"

    def __post_init__(self) -> None:
        part = reference_part(self.category)
        part.places_of(dict(zip(self.template.names, (self.template.first, self.template.second), strict=True)))
        if self.detector not in ("manifest", *part.detectors):
            raise UserError(
                f"aligned_images.detector {self.detector} finds no {self.category}'s {part.name}.",
                "Set aligned_images.detector to manifest: the renderer wrote the landmarks.",
            )


@dataclass(frozen=True)
class _Part:
    """Some rows for one process: where their bytes are, and their landmarks where the manifest has them."""

    directory: Path
    rows: pd.DataFrame
    config: AlignmentConfig


@dataclass(frozen=True, eq=False)
class _Crop:
    """One aligned crop: its bytes, its landmarks in it (P×2), and the transform (2×3)."""

    png: bytes
    landmarks: Landmarks
    transform: Transform


def align_images(
    images_dir: Path,
    out: Path,
    config: AlignmentConfig,
    processes: int = 1,
    progress: CountFn = uncounted,
    withheld: Withheld = Withheld(),  # noqa: B008 – frozen
) -> ImageSetSummary:
    """Writes the aligned crops of an image set into `out`; an image without usable landmarks goes to quarantine.

    So does a crop that is `withheld`. Raises UserError when no image is left, when landmarks are to come from a
    manifest that has none, or when the reference has no face.
    """
    manifest = read_manifest(images_dir)
    config = replace(config, template=template_of(images_dir, manifest, config), reference=None)
    _require_landmarks(manifest, config)
    with ImageSetWriter(out, "aligned_images", withheld) as writer:
        for done, (record, result) in enumerate(_aligned(images_dir, manifest, config, processes), start=1):
            if isinstance(result, BadImageError):
                writer.reject(Rejection(record["source"], record["sha256"], result.reason, result.expected))
            else:
                for index, crop in enumerate(result):
                    writer.add(crop.png, _row(record, crop, index, config.size_px))
            progress(done, len(manifest))
        return writer.finish(_facts(images_dir, config))


def template_of(images_dir: Path, manifest: pd.DataFrame, config: AlignmentConfig) -> Template:
    """The template in force: the configured one, or the reference image's own points in its central square."""
    if config.reference is None:
        return config.template
    image, landmarks = _reference(images_dir, manifest, config)
    height, width = image.shape[:2]
    side = min(width, height)
    points = (landmarks[:2].astype(np.float64) + 0.5 - [(width - side) / 2, (height - side) / 2]) / side
    (first_x, first_y), (second_x, second_y) = np.round(points, 6).tolist()
    return Template((first_x, first_y), (second_x, second_y), config.template.names)


def _reference(images_dir: Path, manifest: pd.DataFrame, config: AlignmentConfig) -> tuple[Pixels, Landmarks]:
    """The reference image and its landmarks: of the set by source or sha256, else a file."""
    reference = str(config.reference)
    rows = manifest[(manifest["source"] == reference) | (manifest["sha256"] == reference)]
    if len(rows):
        image, known = next(iter_images(images_dir, rows)), rows.iloc[0]["landmarks"]
        if known is not None:
            return image, np.asarray(known, np.float32).reshape(-1, 2)
    else:
        image = _reference_file(Path(reference))
    _require_detector(reference, config)
    faces = dlib_detector().detect(image)
    if not faces:
        raise UserError(f"There is no face in the reference image {reference}.", "Choose one with a frontal face.")
    return image, faces[0].landmarks


def _require_detector(reference: str, config: AlignmentConfig) -> None:
    if not reference_part(config.category).detectors:
        raise UserError(
            f"Nothing finds a {config.category}'s points in the reference {reference}.",
            "Give a `source` or `sha256` of the images' manifest, which has landmarks.",
        )


def _reference_file(path: Path) -> Pixels:
    if not path.is_file():
        raise UserError(
            f"The reference {path} is neither an image of the set nor a file.",
            "Give a `source` or `sha256` of the images' manifest, or the path of an image.",
        )
    try:
        return decode_image(path.read_bytes())
    except BadImageError as bad:
        raise UserError(f"The reference {path} cannot be read: {bad}.", "Give another image.") from bad


def _require_landmarks(manifest: pd.DataFrame, config: AlignmentConfig) -> None:
    if config.detector == "manifest" and manifest["landmarks"].isna().all():
        raise UserError(
            "The images carry no landmarks: aligned_images.detector is manifest, but they are photographs.",
            "Set aligned_images.detector to dlib.",
        )


def _aligned(
    directory: Path, manifest: pd.DataFrame, config: AlignmentConfig, processes: int
) -> Iterator[tuple[dict[str, Any], list[_Crop] | BadImageError]]:
    """(manifest record, its crops or why there are none), in manifest order."""
    size = _CHUNK if config.detector == "manifest" else _CHUNK_PHOTOS
    columns = manifest[["shard", "offset", "length", "landmarks"]]
    spans = chunks(range(len(manifest)), size)
    parts = [_Part(directory, columns.iloc[span[0] : span[-1] + 1], config) for span in spans]
    for span, results in zip(spans, ordered(_align_part, parts, processes), strict=True):
        yield from zip(manifest.iloc[span[0] : span[-1] + 1].to_dict("records"), results, strict=True)


def _align_part(part: _Part) -> list[list[_Crop] | BadImageError]:
    payloads = iter_payloads(part.directory, part.rows)
    return [_align_one(png, known, part.config) for png, known in zip(payloads, part.rows["landmarks"], strict=True)]


def _align_one(png: bytes, known: Sequence[float] | None, config: AlignmentConfig) -> list[_Crop] | BadImageError:
    image = decode_png(png)
    try:
        return [_crop(image, landmarks, config) for landmarks in _faces(image, known, config)]
    except BadImageError as bad:
        return bad


def _faces(image: Pixels, known: Sequence[float] | None, config: AlignmentConfig) -> list[Landmarks]:
    """The landmarks, P×2 each, of what to take from an image."""
    if config.detector == "manifest":
        if known is None:
            raise BadImageError("no_landmarks", "landmarks in the manifest, or aligned_images.detector dlib")
        return [np.asarray(known, np.float32).reshape(-1, 2)]
    faces = dlib_detector().detect(image)
    if not faces:
        raise BadImageError("no_face", "a face that looks roughly at the camera, at least about 80 px wide")
    usable = [face.landmarks for face in faces if reference_distance(face.landmarks) >= config.min_inter_ocular_px]
    return usable or [faces[0].landmarks] if config.multiple_faces == "all" else [faces[0].landmarks]


def _crop(image: Pixels, landmarks: Landmarks, config: AlignmentConfig) -> _Crop:
    distance_px = reference_distance(landmarks)
    if not distance_px >= config.min_inter_ocular_px:  # NaN counts as too small
        points = {"face": "eyes"}.get(config.category, " and ".join(config.template.names))
        expected = f"{points} at least {config.min_inter_ocular_px:g} px apart; they are {distance_px:.1f}"
        raise BadImageError(cast(Reason, f"{config.category}_too_small"), expected)
    transform = similarity(landmarks, config.template, config.size_px)
    crop = align(image, transform, config.size_px)
    return _Crop(encode_png(crop), transform_points(landmarks, transform), transform)


def _row(parent: dict[str, Any], crop: _Crop, index: int, size_px: int) -> ImageRow:
    """The crop's row. Another face of the same photo is another subject, in the photo's split all the same."""
    row = row_of(parent)
    return replace(
        row,
        subject=row.subject if index == 0 else f"{row.subject}#face{index}",
        width=size_px,
        height=size_px,
        landmarks=tuple(crop.landmarks.ravel().tolist()),
        parent=parent["sha256"],
        parent_width=row.width,
        parent_height=row.height,
        transform=tuple(crop.transform.ravel().tolist()),
    )


def _facts(images_dir: Path, config: AlignmentConfig) -> dict[str, object]:
    template = config.template
    return {
        "size_px": config.size_px,
        "template": template.places,
        "detector": config.detector,
        "multiple_faces": config.multiple_faces,
        "parent_dataset_root": read_dataset(images_dir)["dataset_root"],
    }
