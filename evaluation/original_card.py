"""Measure the shipped original network and write the figure into its card: python -m evaluation.original_card"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.alignment import Template, align, similarity
from data.render import draw_scene, draw_subject, render
from data.render.seeds import SHIPPED_WEIGHTS
from evaluation.metrics.frechet import frechet_metric
from evaluation.original_report import generator_sampler
from evaluation.panel import feature_vectors, judge_of
from evaluation.pixels import Images
from training.judges import load_judges, shipped_judges_dir
from training.shipped.make_original import RENDER_PX, SIZE_PX
from training.shipped.original import CARD, shipped_original, shipped_original_dir

COUNT, BATCH = 2000, 64
COMMAND = "python -m evaluation.original_card"
# The second half of the range: the long training drew its subjects from the first.
UNSEEN = SHIPPED_WEIGHTS.start + len(SHIPPED_WEIGHTS) // 2


def unseen_faces(count: int) -> Images:
    """Aligned faces N×64×64×3 of subjects that the long training did not see, one each."""
    return np.concatenate([_faces(range(first, min(first + BATCH, count))) for first in range(0, count, BATCH)])


def _faces(numbers: range) -> Images:
    drawn = render([draw_scene(UNSEEN + n, draw_subject(UNSEEN + n)) for n in numbers], RENDER_PX)
    placed = zip(drawn.images, drawn.landmarks, strict=True)
    return np.stack([align(image, similarity(points, Template(), SIZE_PX), SIZE_PX) for image, points in placed])


def measure() -> dict[str, Any]:
    """The Fréchet distance of the shipped average to unseen faces, with judge and protocol."""
    features = load_judges(shipped_judges_dir()).features
    drawn = generator_sampler(shipped_original().build_generator(), seed=0)(np.arange(COUNT))
    vectors = [feature_vectors(features, images, BATCH) for images in (drawn, unseen_faces(COUNT))]
    return {**asdict(frechet_metric(vectors[0], vectors[1], judge_of(features))), "command": COMMAND}


def write_into(card: Path) -> dict[str, Any]:
    """Put the measure into the card; returns it."""
    record: dict[str, Any] = json.loads(card.read_text())
    record["frechet_distance"] = measure()
    card.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return dict(record["frechet_distance"])


if __name__ == "__main__":
    print(json.dumps(write_into(shipped_original_dir() / CARD), indent=2))
