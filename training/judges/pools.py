"""The faces of a pool as arrays: rendered, aligned as the product aligns, kept beside the training to resume from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.alignment import Template, align, align_labels, similarity
from data.render import ATTRIBUTES, Scene, attributes, draw_scene, draw_subject, render, with_attribute
from training.judges.config import PoolName
from training.judges.networks import JUDGE_SIZE_PX

CHUNK = 32


@dataclass(frozen=True)
class Pool:
    """N aligned 64-px faces with all labels; pose is the crop's: roll is what alignment left of it."""

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
    render_size_px: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Pool:
    """The pool's faces, from `folder` when an earlier run left them there whole."""
    if not (folder / "complete").is_file():
        save_pool(render_pool(rows.filter(pc.field("pool") == pool), render_size_px, progress), folder)
    return Pool(**{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(Pool)})


def save_pool(pool: Pool, folder: Path) -> None:
    """Writes the arrays, then the mark that they are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for field in fields(Pool):
        np.save(folder / f"{field.name}.npy", getattr(pool, field.name))
    (folder / "complete").touch()


def render_pool(rows: pa.Table, render_size_px: int, progress: Callable[[int, int], None] | None = None) -> Pool:
    """Renders and aligns every row of a judge_images table; `progress` hears of faces done and their total."""
    n = rows.num_rows
    subject_seeds = rows["subject_seed"].to_numpy()
    pool = Pool(
        images=np.empty((n, JUDGE_SIZE_PX, JUDGE_SIZE_PX, 3), np.uint8),
        regions=np.empty((n, JUDGE_SIZE_PX, JUDGE_SIZE_PX), np.uint8),
        pose_deg=np.empty((n, 3), np.float32),
        attributes=np.empty((n, len(ATTRIBUTES)), np.bool_),
        subjects=np.unique(subject_seeds, return_inverse=True)[1].astype(np.int64),
    )
    for start in range(0, n, CHUNK):
        scenes = [scene_of(row) for row in rows.slice(start, CHUNK).to_pylist()]
        _fill(pool, start, scenes, render_size_px)
        if progress is not None:
            progress(min(start + CHUNK, n), n)
    return pool


def scene_of(row: dict[str, str | int]) -> Scene:
    """The scene of a manifest row, with its attribute turned round where the row says so."""
    scene = draw_scene(int(row["scene_seed"]), draw_subject(int(row["subject_seed"])))
    turned = str(row["turned"])
    return with_attribute(scene, turned, not attributes(scene)[turned]) if turned else scene


def _fill(pool: Pool, start: int, scenes: list[Scene], render_size_px: int) -> None:
    rendered = render(scenes, size_px=render_size_px)
    template = Template()
    for i, scene in enumerate(scenes):
        transform = similarity(rendered.landmarks[i], template, JUDGE_SIZE_PX)
        turn_deg = math.degrees(math.atan2(transform[1, 0], transform[0, 0]))
        pool.images[start + i] = align(rendered.images[i], transform, JUDGE_SIZE_PX)
        pool.regions[start + i] = align_labels(rendered.regions[i], transform, JUDGE_SIZE_PX)
        pool.pose_deg[start + i] = rendered.pose_deg[i] + np.array([0, 0, turn_deg], np.float32)
        labels = attributes(scene)
        pool.attributes[start + i] = [labels[name] for name in ATTRIBUTES]
