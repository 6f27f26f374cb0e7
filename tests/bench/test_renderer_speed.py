"""How fast the procedural set comes into being."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from data.render import attributes, draw_scene, render_many
from orchestration.results import Bar, Figure, Record

FACES, SIZE_PX, PROCESSES = 6000, 64, 2


@pytest.mark.bench
def test_two_processes_draw_300_labelled_faces_a_second(measured: Callable[..., Record]) -> None:
    """Scenes, pictures, regions, landmarks, pose and attributes; the start of the processes is counted."""
    started = time.perf_counter()
    scenes = [draw_scene(seed) for seed in range(FACES)]
    labels = [attributes(scene) for scene in scenes]
    rendered = render_many(scenes, SIZE_PX, PROCESSES)
    rate = FACES / (time.perf_counter() - started)
    assert len(rendered.images) == len(labels) == FACES
    name = f"renderer: faces with all labels, {SIZE_PX} px, {PROCESSES} processes"
    measured(Figure(name, rate, "faces/s", bar=Bar(at_least=300), note=f"{FACES} faces"))
