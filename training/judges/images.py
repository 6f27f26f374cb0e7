"""`judge_images`: which pictures the judges learn and are scored on. A manifest of seeds; the pixels follow from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.categories import FACE, Category
from data.errors import UserError
from training.judges.config import POOLS, JudgeImagesConfig, PoolName, first_subject
from training.judges.networks import JUDGE_SIZE_PX

MANIFEST = "manifest.parquet"
DATASET = "dataset.json"
SCENES_PER_SUBJECT = 64  # scene seed = subject seed · 64 + number, so that no two subjects share a scene seed

SCHEMA = pa.schema(
    [
        ("pool", pa.string()),
        ("split", pa.string()),  # train or held_out
        ("subject_seed", pa.int64()),
        ("scene_seed", pa.int64()),
        ("turned", pa.string()),  # the attribute that the scene has the other way round; "" for none
    ]
)


@dataclass(frozen=True)
class JudgeImagesSummary:
    """What judge_images wrote."""

    images: int
    subjects: int
    dataset_digest: str
    renderer_digest: str


def judge_images(config: JudgeImagesConfig, out: Path) -> JudgeImagesSummary:
    """Write the payload of `judge_images`: manifest.parquet and dataset.json.

    No pixels: they are a function of the scene seeds and of the renderer, whose digest dataset.json holds.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = pa.concat_tables([_pool_rows(pool, config) for pool in POOLS])
    pq.write_table(table, out / MANIFEST, compression="zstd", store_schema=False)
    summary = JudgeImagesSummary(
        images=table.num_rows,
        subjects=len(pc.unique(table["subject_seed"])),
        dataset_digest=rows_digest(table, config),
        renderer_digest=renderer_digest(config.kind),
    )
    record = {
        "format": 1,
        "images": summary.images,
        "subjects": summary.subjects,
        "dataset_digest": summary.dataset_digest,
        "renderer_digest": summary.renderer_digest,
        "consent": f"rendered {config.category}s: no person is shown",
        "config": config.model_dump(),
        "subject_ranges": {pool: list(subject_range(pool, config)) for pool in POOLS},
    }
    (out / DATASET).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return summary


def read_judge_images(directory: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Rows and dataset.json of a judge_images payload; raises UserError when missing or of another renderer."""
    if not (directory / DATASET).is_file() or not (directory / MANIFEST).is_file():
        raise UserError(f"There is no {DATASET} in {directory}.", "Run `editloom run --select judge_images` first.")
    record: dict[str, Any] = json.loads((directory / DATASET).read_text())
    config = JudgeImagesConfig.model_validate(record["config"])
    if record["renderer_digest"] != renderer_digest(config.kind):
        raise UserError(
            f"{directory / DATASET} was written with another version of the renderer: "
            f"its seeds now give other {config.category}s.",
            "Run `editloom run --select judge_images` again.",
        )
    return pq.read_table(directory / MANIFEST), record


def subject_range(pool: PoolName, config: JudgeImagesConfig) -> tuple[int, int]:
    """The pool's subject seeds, [first, end)."""
    counts = {"pose": config.single_subjects, "features": config.single_subjects, "held_out": config.held_out_subjects}
    first = first_subject(pool, config.kind.seeds)
    return first, first + counts.get(pool, config.subjects)


def renderer_digest(kind: Category[Any, Any] = FACE) -> str:
    """sha256 over the pixels and labels of a few fixed scenes: another renderer gives another digest."""
    seeds = [first_subject("train", kind.seeds) + i for i in range(8)]
    rendered = kind.render([kind.draw_scene(seed, kind.draw_subject(seed)) for seed in seeds], 64)
    return hashlib.sha256(rendered.images.tobytes() + rendered.regions.tobytes()).hexdigest()


def _pool_rows(pool: PoolName, config: JudgeImagesConfig) -> pa.Table:
    first, end = subject_range(pool, config)
    held_out = pool == "held_out"
    per_subject = config.held_out_images if held_out else config.images_per_subject
    subjects = np.repeat(np.arange(first, end, dtype=np.int64), per_subject)
    scenes = subjects * SCENES_PER_SUBJECT + np.tile(np.arange(per_subject, dtype=np.int64), end - first)
    columns = {
        "pool": [pool] * len(subjects),
        "split": ["held_out" if held_out else "train"] * len(subjects),
        "subject_seed": subjects,
        "scene_seed": scenes,
        "turned": [""] * len(subjects) if held_out else _turned(len(subjects), first, config),
    }
    return pa.table(columns, schema=SCHEMA)


def _turned(count: int, first_subject: int, config: JudgeImagesConfig) -> list[str]:
    """For each training image the attribute to turn round, or "" (held-out images are never turned)."""
    draws = np.random.Generator(np.random.Philox(key=[config.seed, first_subject]))
    chosen = draws.random(count) < config.changed_share
    names = config.kind.attributes
    which = draws.integers(0, len(names), count)
    return [names[index] if turn else "" for turn, index in zip(chosen, which, strict=True)]


def rows_digest(table: pa.Table, config: JudgeImagesConfig) -> str:
    """sha256 over the rows' values, whatever the Parquet writer, and the sizes that the pixels depend on."""
    smaller = f"/{config.crop_size_px}" if config.crop_size_px < JUDGE_SIZE_PX else ""
    digest = hashlib.sha256(f"editloom.judge_images/{config.render_size_px}{smaller}\n".encode())
    for row in table.to_pylist():
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
