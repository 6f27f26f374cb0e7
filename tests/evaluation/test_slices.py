"""Slices are what the scenes, labels and judges say; the worst one is found, and small ones are not looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.categories import VEHICLE
from data.render import draw_scene
from evaluation.edit_report import ReportRow, worst_order
from evaluation.metrics.intervals import Bootstrap, Protocol
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import CLOSED_FORM
from evaluation.slices import label_slices, photo_slices, scene_slices, slice_metrics, worst_slices
from evaluation.worst import worst_edits

BOOT = Bootstrap(replicates=50)


def _measure(name: str, values: object, higher: bool | None = True) -> Measure:
    return Measure.of_values(Protocol(name, "share", name, higher), CLOSED_FORM, np.asarray(values, dtype=np.float64))


def _row(*measures: Measure) -> ReportRow:
    subjects = tuple(f"s{index // 2}" for index in range(len(measures[0].numerators)))
    return ReportRow("editor", "editor", measures, (), subjects, BOOT)


def test_scenes_tell_every_dimension_but_the_attribute_itself() -> None:
    scenes = [draw_scene(seed) for seed in range(10_000_000, 10_000_060)]
    slices = scene_slices(scenes, "beard")
    assert {"skin tone", "hair style", "hair colour", "pose", "light", "age", "glasses"} <= set(slices)
    assert "beard" not in slices and "short hair" not in slices  # hair style tells that already
    for place, scene in enumerate(scenes):
        assert slices["hair colour"][place] == scene.hair.colour
        assert slices["age"][place] == ("old" if scene.age > 0.5 else "young")
        assert (slices["pose"][place] == "right") == (scene.pose.yaw_deg >= 10.0)
    tones = {tone: max(s.subject.melanin for s, t in zip(scenes, slices["skin tone"], strict=True) if t == tone)
             for tone in ("light", "medium", "dark")}  # fmt: skip
    assert tones["light"] < tones["medium"] < tones["dark"]


def test_vehicles_have_slices_of_their_own() -> None:
    scenes = [VEHICLE.draw_scene(seed, VEHICLE.draw_subject(seed)) for seed in range(40)]
    slices = scene_slices(scenes, "roof_box", "vehicle")
    assert {"pose", "light", "spoiler"} <= set(slices) and not {"skin tone", "roof box"} & set(slices)


def test_dimension_in_which_all_are_alike_is_no_slice() -> None:
    labels = [("glasses",), ("glasses", "old")]
    slices = label_slices(labels, "beard")
    assert slices["old"] == ("without", "with") and "glasses" not in slices


def test_photographs_are_told_by_luminance_and_a_judges_yaw() -> None:
    levels = np.array([30, 110, 220], dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (3, 8, 8, 3))
    slices = photo_slices(np.ascontiguousarray(images), [[-20.0, 0, 0], [0.0, 0, 0], [20.0, 0, 0]])
    assert slices["light"] == ("dark", "normal", "bright") and slices["pose"] == ("left", "frontal", "right")


def test_worst_slice_is_the_planted_one_and_small_slices_do_not_count() -> None:
    labels = ("a",) * 30 + ("b",) * 30 + ("few",) * 5 + ("",) * 5
    values = [0.9] * 30 + [0.4] * 30 + [0.0] * 5 + [0.0] * 5
    row = _row(_measure("kept", values), _measure("lost", values, higher=False), _measure("open", values, None))
    found = slice_metrics(row, {"hair": labels}, 20)
    assert {one.label for one in found} == {"a", "b"} and all(one.metric.n == 30 for one in found)
    worst = worst_slices(found)
    assert worst["kept"].label == "b" and worst["kept"].metric.value == pytest.approx(0.4)
    assert worst["lost"].label == "a" and "open" not in worst


def test_images_that_a_measure_leaves_out_do_not_fill_a_slice() -> None:
    row = _row(_measure("kept", [1.0] * 19 + [np.nan] * 11))
    assert slice_metrics(row, {"hair": ("a",) * 30}, 20) == ()


def test_failed_edits_come_first_then_those_that_spoil_most() -> None:
    probability = np.array([0.9, 0.2, 0.1, 0.8, 0.7])
    row = _row(
        _measure("attribute_success", probability >= 0.5),
        _measure("attribute_probability", probability),
        _measure("psnr_outside", [40.0, 40.0, 40.0, 20.0, 41.0]),
        _measure("identity_cosine", [0.9, 0.9, 0.9, 0.8, 0.95]),
    )
    assert worst_edits(row, 4) == (2, 1, 3, 0)
    assert worst_edits(row, 99) == (2, 1, 3, 0, 4)


def test_order_by_keys_puts_unknown_values_last() -> None:
    row = _row(_measure("kept", [0.5, np.nan, 0.1, 0.5]), _measure("lost", [0.0, 0.0, 0.0, 1.0], higher=False))
    assert worst_order(row, ("kept", "lost", "absent")).tolist() == [2, 3, 0, 1]
    assert worst_order(
        replace(row, measures=(_measure("open", [1.0], None),), subjects=("a",)), ("open",)
    ).tolist() == [0]
