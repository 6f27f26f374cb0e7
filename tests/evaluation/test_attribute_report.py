"""The report tells an editor from one that did nothing, names its judges, and is the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from data.captions import prompts
from evaluation.attribute_report import evaluate_attribute_editor, measure_attribute_answers
from evaluation.edit_report import EDITOR, NOTHING, TRUTH, EditReport
from evaluation.held_out import HeldOut, held_out_set
from evaluation.panel import Panel
from evaluation.pixels import to_images, to_tensor
from evaluation.report_files import write_report
from evaluation.sanity_rows import PASTED, STRANGER


def _darken(images: Tensor) -> Tensor:
    """An editor that spoils the whole picture: 12.75 levels darker wherever there is room."""
    return images - 0.1


@pytest.fixture(scope="module")
def held_out(aligned_dir: Path) -> HeldOut:
    return held_out_set(aligned_dir, "beard", limit=24)


@pytest.fixture(scope="module")
def report(held_out: HeldOut, panel: Panel) -> EditReport:
    return evaluate_attribute_editor(_darken, panel, held_out)


def test_sanity_rows_stand_beside_the_editor(report: EditReport) -> None:
    assert [row.key for row in report.rows] == [EDITOR, NOTHING, PASTED, STRANGER, TRUTH]
    nothing, truth = report.row(NOTHING), report.row(TRUTH)
    assert nothing.metric("psnr_outside").value == 60.0 and nothing.metric("pose_change").value == pytest.approx(0.0)
    assert nothing.metric("identity_cosine").value == pytest.approx(1.0, abs=1e-6)
    assert truth.metric("psnr_counterfactual").value == 60.0
    stranger = report.row(STRANGER).metric("psnr_outside").value
    assert stranger is not None and stranger < 25.0  # another face altogether


def test_spoiled_picture_costs_what_it_changed(report: EditReport) -> None:
    value = report.row(EDITOR).metric("psnr_outside").value
    # 12.75 of 255 levels is 26.02 dB; rounding to 13 and clipping at black move it a little.
    assert value == pytest.approx(26.0, abs=1.0)
    assert report.row(EDITOR).metric("max_change_outside").value == pytest.approx(13.0, abs=0.5)


def test_pasted_region_is_someone_elses_and_shows_a_seam(report: EditReport) -> None:
    """The cheat leaves everything outside as it was, is no answer, and its edge is steep."""
    pasted, truth = report.row(PASTED), report.row(TRUTH)
    assert pasted.metric("psnr_outside").value == 60.0
    seam, best = pasted.metric("seam_ratio").value, truth.metric("seam_ratio").value
    assert seam is not None and best is not None and seam > 1.5 > best
    errors = [report.row(key).metric("mae_counterfactual_inside").value or 0.0 for key in (PASTED, NOTHING)]
    assert errors[0] > errors[1]  # a stranger's beard is further from the truth than none


def test_every_metric_names_its_judge_and_count(report: EditReport, panel: Panel) -> None:
    digests = {judge.name: judge.digest for judge in panel.judges} | {"renderer": ""}
    for metric in report.row(EDITOR).metrics:
        assert metric.judge_digest == digests[metric.judge] and metric.protocol
        assert metric.n == len(report) and (metric.value is not None or metric.note)


def test_images_made_already_measure_like_the_editor_that_made_them(
    report: EditReport, held_out: HeldOut, panel: Panel
) -> None:
    again = measure_attribute_answers(to_images(_darken(to_tensor(held_out.inputs))), panel, held_out)
    assert again.values() == report.values()


def test_photographs_are_judged_by_the_parser(held_out: HeldOut, panel: Panel) -> None:
    photos = replace(held_out, counterfactuals=None, outside=None)
    report = evaluate_attribute_editor(torch.clone, panel, photos)
    assert [row.key for row in report.rows] == [EDITOR, NOTHING, PASTED, STRANGER]
    assert report.row(EDITOR).metric("psnr_outside").judge == "parser_eval"
    with pytest.raises(KeyError):
        report.row(EDITOR).metric("psnr_counterfactual")


def test_editor_that_changes_the_shape_is_refused(held_out: HeldOut, panel: Panel) -> None:
    with pytest.raises(ValueError, match="shape"):
        evaluate_attribute_editor(lambda images: images[:, :, ::2], panel, held_out)


def test_files_are_complete_self_contained_and_reproducible(report: EditReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "a")
    write_report(report, tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    pictures = ["sheet.png", "strip.png"]
    assert names == ["metrics.json", "per_image.parquet", "report.html", *pictures, "summary.json", "worst.png"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    page = (tmp_path / "a" / "report.html").read_text()
    assert "http" not in page and "data:image/png;base64," in page
    record = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert record["rows"][0]["metrics"][0]["interval"]["level"] == 0.95
    assert record["worst"] == [report.names[index] for index in report.worst]
    assert {one["dimension"] for one in record["slices"]} <= set(report.slices)


def test_summary_names_each_number_by_metric_and_judge(report: EditReport, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    known = json.loads((tmp_path / "summary.json").read_text())
    metrics = [metric for metric in report.rows[0].metrics if metric.value is not None]
    assert len(known) == len(metrics)
    for metric in metrics:
        digest = f"@{metric.judge_digest[:8]}" if metric.judge_digest else ""
        assert known[f"{metric.name}/{metric.judge}{digest}"] == metric.value


def test_per_image_table_adds_up_to_the_headline(report: EditReport, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    table = pq.read_table(tmp_path / "per_image.parquet").to_pandas()
    for row in report.rows:
        for name in ("identity_cosine", "pose_change", "mae_counterfactual"):
            assert table[f"{row.key}.{name}"].mean() == pytest.approx(row.metric(name).value, rel=1e-12)
    assert list(table["sha256"]) == list(report.names) and "slice.pose" in table


def test_clip_direction_is_told_where_a_judge_of_sentences_sits(held_out: HeldOut, panel: Panel) -> None:
    """A judge whose space is the mean colour: “with” lies towards dark, as the darkened picture does."""

    class Colours:
        name, digest = "clip_eval", "f6"

        def image_vectors(self, images: Tensor) -> Tensor:
            return torch.nn.functional.normalize(torch.cat([images.mean(dim=(2, 3)), torch.ones(len(images), 1)], 1))

        def text_vectors(self, texts: Sequence[str]) -> Tensor:
            without = prompts("face", "beard")[0]
            return torch.tensor(
                [[0.0, 0.0, 0.0, 1.0] if text == without else [-0.5, -0.5, -0.5, 0.5] for text in texts]
            )

    seen = evaluate_attribute_editor(_darken, replace(panel, clip=Colours()), held_out)
    moved, still = (seen.row(key).metric("clip_direction") for key in (EDITOR, NOTHING))
    assert moved.value is not None and moved.value > 0.8 and moved.judge == "clip_eval"
    assert still.value == 0.0 and still.note


def test_combined_attribute_tells_what_became_of_each_part(aligned_dir: Path, panel: Panel) -> None:
    name = "beard+glasses"
    held_out = held_out_set(aligned_dir, name, limit=12)
    row = evaluate_attribute_editor(_darken, panel, held_out).row(TRUTH)
    assert held_out.counterfactuals is not None
    tensor = torch.from_numpy(held_out.counterfactuals).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        seen = {part: panel.attribute.probability(tensor, part).numpy() >= 0.5 for part in ("beard", "glasses")}
    for part, there in seen.items():
        assert row.metric(f"attribute_success_{part}").value == pytest.approx(there.mean())
    both = row.metric("attribute_success").value
    assert both == pytest.approx((seen["beard"] & seen["glasses"]).mean())
