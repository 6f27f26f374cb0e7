"""Folders as a user of another tool would hand them in: rendered faces as PNG files, and the CSV that pairs them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.png import encode_png
from data.render import USER, Scene, draw_scene, draw_subject, render
from evaluation.panel import Panel
from evaluation.protocols.judge_sources import JudgeChoice, open_panel

SIZE_PX = 64
Images = NDArray[np.uint8]
Rows = Sequence[Mapping[str, str]]
SaveCsv = Callable[[Path, Rows], Path]
SaveImages = Callable[[Path, str, Images], list[str]]


@pytest.fixture(scope="session")
def save_csv() -> SaveCsv:
    return _save_csv


@pytest.fixture(scope="session")
def save_images() -> SaveImages:
    return _save_images


def _save_csv(file: Path, rows: Rows) -> Path:
    """Write rows, their keys as columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def _save_images(folder: Path, kind: str, images: Images) -> list[str]:
    """Write images as PNG files; returns their names relative to the folder."""
    (folder / kind).mkdir(parents=True, exist_ok=True)
    names = [f"{kind}/{number:03d}.png" for number in range(len(images))]
    for name, image in zip(names, images, strict=True):
        (folder / name).write_bytes(encode_png(image))
    return names


def _faces(subjects: Sequence[int], first_seed: int) -> list[Scene]:
    """One scene of each subject: frontal enough and without anything before the face."""
    scenes = [draw_scene(USER.start + first_seed + n, draw_subject(USER.start + s)) for n, s in enumerate(subjects)]
    clear = replace(scenes[0].occluder, kind="none")
    return [replace(scene, occluder=clear) for scene in scenes]


@dataclass(frozen=True)
class Swaps:
    """24 swaps of 12 people onto 12 others, and the true answers: the source's person in the target's scene."""

    sources: Images
    targets: Images
    truths: Images
    subjects: tuple[str, ...]


@pytest.fixture(scope="session")
def swaps() -> Swaps:
    people = [n % 12 for n in range(24)]
    sources, targets = _faces(people, 0), _faces([12 + person for person in people], 100)
    truths = [replace(target, subject=source.subject) for source, target in zip(sources, targets, strict=True)]
    source, target, truth = (render(scenes, SIZE_PX).images for scenes in (sources, targets, truths))
    return Swaps(source, target, truth, tuple(f"person{person}" for person in people))


@pytest.fixture
def swap_folder(tmp_path: Path, swaps: Swaps, save_images: SaveImages, save_csv: SaveCsv) -> Path:
    """A folder whose results are the true swaps."""
    columns = {
        "output": save_images(tmp_path, "results", swaps.truths),
        "source": save_images(tmp_path, "sources", swaps.sources),
        "target": save_images(tmp_path, "targets", swaps.targets),
        "subject": list(swaps.subjects),
    }
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    save_csv(tmp_path / "pairs.csv", rows)
    return tmp_path


@pytest.fixture(scope="session")
def shipped_panel() -> Panel:
    return open_panel(JudgeChoice())
