"""True swaps win, and each way to cheat loses what it should; no measure is won by a result without a face."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from data.png import encode_png
from evaluation.edit_report import EditReport
from evaluation.panel import Panel
from evaluation.protocols.swap import COPY, PASTE, SwapFolder, evaluate_swaps, read_swaps


@pytest.fixture
def folder(swap_folder: Path) -> SwapFolder:
    return read_swaps(swap_folder, swap_folder / "pairs.csv")


@pytest.fixture
def report(folder: SwapFolder, shipped_panel: Panel) -> EditReport:
    return evaluate_swaps(folder, shipped_panel)


def _value(report: EditReport, key: str, name: str) -> float:
    value = report.row(key).metric(name).value
    assert value is not None
    return value


def test_true_swaps_stand_above_both_cheats(report: EditReport) -> None:
    results = report.rows[0].key
    retrieved = {key: _value(report, key, "id_retrieval_centers") for key in (results, COPY, PASTE)}
    # Twelve people: chance is 8 %. A copied target shows someone else, whatever the judge's own errors.
    assert retrieved[results] > 0.5 and retrieved[COPY] < 0.25 and retrieved[PASTE] == 1.0
    assert _value(report, results, "identity_cosine_source") > _value(report, COPY, "identity_cosine_source") + 0.2
    assert _value(report, COPY, "pose_error") == pytest.approx(0.0, abs=1e-6)
    assert _value(report, results, "pose_error") < 0.5 * _value(report, PASTE, "pose_error")
    assert _value(report, COPY, "identity_cosine_target") == pytest.approx(1.0, abs=1e-6)


def test_both_galleries_and_all_axes_are_named(report: EditReport) -> None:
    names = {metric.name for metric in report.rows[0].metrics}
    assert {"id_retrieval_centers", "id_retrieval_spread", "pose_error_yaw", "pose_error_geodesic"} <= names
    assert "fid" not in names, "only InceptionV3's features make a Fréchet distance an FID"


def test_result_without_a_face_is_a_miss(folder: SwapFolder, shipped_panel: Panel) -> None:
    spoiled = folder.outputs.copy()
    spoiled[:6] = 128
    report = evaluate_swaps(replace(folder, outputs=spoiled), shipped_panel)
    metric = report.rows[0].metric("id_retrieval_spread")
    assert metric.value is not None and metric.value <= 18 / 24 and metric.n == 24
    assert report.words.facts["Without a face"] == "6"


def test_mask_and_truth_add_their_measures(swap_folder: Path, shipped_panel: Panel) -> None:
    rows = list(csv.DictReader((swap_folder / "pairs.csv").open(encoding="utf-8")))
    mask = np.zeros((64, 64, 3), dtype=np.uint8)
    mask[16:56, 12:52] = 255
    (swap_folder / "mask.png").write_bytes(encode_png(mask))
    lines = ["output,source,target,subject,truth,mask"]
    lines += [f"{r['output']},{r['source']},{r['target']},{r['subject']},{r['output']},mask.png" for r in rows]
    (swap_folder / "pairs.csv").write_text("\n".join(lines))
    report = evaluate_swaps(read_swaps(swap_folder, swap_folder / "pairs.csv"), shipped_panel)
    assert _value(report, COPY, "psnr_outside") == 60.0 > _value(report, PASTE, "psnr_outside")
    assert _value(report, report.rows[0].key, "psnr_counterfactual") == 60.0
    assert report.rows[0].metric("psnr_outside").judge == "given_mask"


def test_gallery_must_hold_the_sources_people(swap_folder: Path) -> None:
    (swap_folder / "gallery.csv").write_text("image,subject\nsources/000.png,somebody\n")
    with pytest.raises(UserError, match=r"gallery.*person0"):
        read_swaps(swap_folder, swap_folder / "pairs.csv", swap_folder / "gallery.csv")
