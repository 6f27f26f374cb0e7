"""The pictures of a pool as arrays: rendered, aligned as the product aligns, kept to resume the training from."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.alignment import Template, align, align_labels, similarity
from data.categories import Category, Drawn
from data.disk_space import DiskFullError, room_in
from training.judges.config import JudgeImagesConfig, PoolName
from training.judges.networks import JUDGE_SIZE_PX

CHUNK = 32
SceneT = TypeVar("SceneT")


@dataclass(frozen=True)
class Pool:
    """N aligned 64-px pictures with all labels; pose is the crop's: roll is what alignment left of it."""

    images: NDArray[np.uint8]  # N×64×64×3
    regions: NDArray[np.uint8]  # N×64×64
    pose_deg: NDArray[np.float32]  # N×3: yaw, pitch, roll
    attributes: NDArray[np.bool_]  # N×A
    subjects: NDArray[np.int64]  # N, numbered from 0

    def __len__(self) -> int:
        return len(self.images)


def pool_of(
    pool: PoolName,
    rows: pa.Table,
    config: JudgeImagesConfig,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Pool:
    """The pool's pictures, from `folder` when an earlier run left them there whole."""
    if not (folder / "complete").is_file():
        save_pool(render_pool(rows.filter(pc.field("pool") == pool), config, progress), folder)
    return Pool(**{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(Pool)})


def save_pool(pool: Pool, folder: Path) -> None:
    """Writes the arrays, then the mark that they are whole; raises DiskFullError, with nothing of them left."""
    try:
        with room_in(folder, "a judge's pictures"):
            folder.mkdir(parents=True, exist_ok=True)
            for field in fields(Pool):
                np.save(folder / f"{field.name}.npy", getattr(pool, field.name))
            (folder / "complete").touch()
    except DiskFullError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def channel_statistics(pool: Pool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the pool's images in [-1, 1], to five decimals."""
    counts = np.stack([np.bincount(pool.images[..., c].ravel(), minlength=256) for c in range(3)]).astype(np.float64)
    levels, shares = np.arange(256) / 127.5 - 1.0, counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    std = np.sqrt(shares @ levels**2 - mean**2)
    return tuple(round(float(v), 5) for v in mean), tuple(round(float(v), 5) for v in std)


def render_pool(rows: pa.Table, config: JudgeImagesConfig, progress: Callable[[int, int], None] | None = None) -> Pool:
    """Renders and aligns every row of a judge_images table; `progress` hears of pictures done and their total."""
    kind, n = config.kind, rows.num_rows
    subject_seeds = rows["subject_seed"].to_numpy()
    pool = Pool(
        images=np.empty((n, JUDGE_SIZE_PX, JUDGE_SIZE_PX, 3), np.uint8),
        regions=np.empty((n, JUDGE_SIZE_PX, JUDGE_SIZE_PX), np.uint8),
        pose_deg=np.empty((n, 3), np.float32),
        attributes=np.empty((n, len(kind.attributes)), np.bool_),
        subjects=np.unique(subject_seeds, return_inverse=True)[1].astype(np.int64),
    )
    for start in range(0, n, CHUNK):
        scenes = [scene_of(row, kind) for row in rows.slice(start, CHUNK).to_pylist()]
        _fill(pool, start, scenes, config)
        if progress is not None:
            progress(min(start + CHUNK, n), n)
    return pool


def scene_of(row: Mapping[str, str | int], kind: Category[Any, SceneT]) -> SceneT:
    """The scene of a manifest row, with its attribute turned round where the row says so."""
    scene = kind.draw_scene(int(row["scene_seed"]), kind.draw_subject(int(row["subject_seed"])))
    turned = str(row["turned"])
    return kind.with_attribute(scene, turned, not kind.attributes_of(scene)[turned]) if turned else scene


def _fill(pool: Pool, start: int, scenes: list[Any], config: JudgeImagesConfig) -> None:
    kind, template = config.kind, config.kind.template
    rendered = kind.render(scenes, config.render_size_px)
    for i, scene in enumerate(scenes):
        transform = similarity(rendered.landmarks[i], template, JUDGE_SIZE_PX)
        turn_deg = math.degrees(math.atan2(transform[1, 0], transform[0, 0]))
        pool.images[start + i] = _picture(rendered, i, template, config.crop_size_px)
        pool.regions[start + i] = align_labels(rendered.regions[i], transform, JUDGE_SIZE_PX)
        pool.pose_deg[start + i] = rendered.pose_deg[i] + np.array([0, 0, turn_deg], np.float32)
        labels = kind.attributes_of(scene)
        pool.attributes[start + i] = [labels[name] for name in kind.attributes]


def _picture(rendered: Drawn, index: int, template: Template, crop_size_px: int) -> NDArray[np.uint8]:
    """An aligned crop at the judges' size; a smaller one is enlarged as the judges enlarge what they are shown."""
    transform = similarity(rendered.landmarks[index], template, crop_size_px)
    crop = align(rendered.images[index], transform, crop_size_px)
    if crop_size_px == JUDGE_SIZE_PX:
        return crop
    return np.asarray(cv2.resize(crop, (JUDGE_SIZE_PX, JUDGE_SIZE_PX), interpolation=cv2.INTER_LINEAR), np.uint8)
