"""Versions compared: a planted loss is found, noise is not, other judges' numbers are never subtracted."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.comparison import compare_reports, holm, most_changed, p_value, scan_slices
from evaluation.comparison_page import (
    ComparedPage,
    comparison_sheet,
    difference_text,
    render_comparison,
    signed,
    table_columns,
    verdict,
)
from evaluation.edit_report import EDITOR, EditReport, ReportConfig, ReportRow, Words
from evaluation.metrics.intervals import Bootstrap, Protocol
from evaluation.metrics.measure import Measure
from evaluation.metrics.metric import Interval, Judge, Metric
from evaluation.metrics.paired import Difference
from evaluation.recorded_comparison import RecordedReport, compare_recorded
from evaluation.report_files import TextTable

IMAGES, SIZE_PX = 400, 8
JUDGE = Judge("identity_eval", "ab" * 32)
SUBJECTS = tuple(f"subject {index // 2}" for index in range(IMAGES))
HAIR = tuple("dark" if index % 4 < 2 else "fair" for index in range(IMAGES))
AGE = tuple("old" if index < 10 else "" for index in range(IMAGES))
BOOTSTRAP = Bootstrap(400, seed=3)
COSINE, SUCCESS = (
    Protocol("identity_cosine", "cosine", "cosine", True),
    Protocol("attribute_success", "share", "share", True),
)
BLANK = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)


def cosines(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.8, 0.05, IMAGES)


def report(values: NDArray[np.float64], judge: Judge = JUDGE, level: int = 100) -> EditReport:
    """A report of one measure; `level` is the grey of its answers."""
    measures = (Measure.of_values(COSINE, judge, values), Measure.of_values(SUCCESS, judge, (values > 0.7) * 1.0))
    row = ReportRow(EDITOR, "editor", measures, (), SUBJECTS, BOOTSTRAP)
    outputs = np.full((IMAGES, SIZE_PX, SIZE_PX, 3), level, np.uint8)
    features = np.zeros((IMAGES, 2))
    return EditReport(
        "attribute", "smile", SIZE_PX, (row,), (judge,), SUBJECTS, tuple(map(str, range(IMAGES))), outputs // 2,
        outputs, features, features, {"hair": HAIR, "age": AGE}, ReportConfig(bootstrap=BOOTSTRAP, sheet_rows=3),
        BLANK, BLANK, (), BLANK, Words("", "", {}, ()), (), truth=outputs,
    )  # fmt: skip


def test_same_version_twice_differs_in_nothing() -> None:
    one = report(cosines())
    comparison = compare_reports({"1": one, "1 #2": one})
    assert all(d.value == 0 and not d.real for line in comparison.lines for d in line.differences)
    assert [verdict(d) for line in comparison.lines for d in line.differences] == ["same", "same"]
    assert comparison.scans[0].lost == () and comparison.differing == ()
    assert comparison.facts["Answers that differ"] == f"0 of {IMAGES}"


def test_small_gain_on_the_same_images_is_real() -> None:
    """0.01 is a fifth of the spread between images, which pairing removes."""
    better = cosines() + 0.01 + np.random.default_rng(1).normal(0, 0.01, IMAGES)
    comparison = compare_reports({"1": report(cosines()), "2": report(better)})
    (difference,) = comparison.line("identity_cosine").differences
    assert verdict(difference) == "better"
    assert difference.value == pytest.approx(0.01, abs=0.003)  # four standard errors are 0.002


def test_loss_in_one_slice_is_found_though_the_mean_is_better() -> None:
    worse_for_fair = cosines() + np.where(np.array(HAIR) == "fair", -0.02, 0.04)
    noise = np.random.default_rng(2).normal(0, 0.01, IMAGES)
    comparison = compare_reports({"1": report(cosines()), "2": report(worse_for_fair + noise)})
    assert verdict(comparison.line("identity_cosine").differences[0]) == "better"
    lost = [(loss.dimension, loss.label, loss.difference.metric) for loss in comparison.scans[0].lost]
    assert ("hair", "fair", "identity_cosine") in lost and not any(label == "dark" for _, label, _ in lost)


def test_slices_below_twenty_images_and_unknown_labels_are_not_looked_at() -> None:
    """Two measures in two kinds of hair: the ten old faces, and those of no known age, do not count."""
    assert scan_slices(report(cosines(1)), report(cosines())).looked_at == 4


def test_noise_is_hardly_ever_called_a_lost_slice() -> None:
    """Of 40 versions that differ by noise alone, Holm at 5 % expects 2 with any loss; 6 would be 1 in 250."""
    base = report(cosines())
    scans = [scan_slices(report(cosines() + np.random.default_rng(s).normal(0, 0.02, IMAGES)), base) for s in range(40)]
    assert sum(bool(scan.lost) for scan in scans) <= 6


def test_holms_adjusted_p_are_those_of_his_paper() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_p_of_an_interval_that_just_touches_zero_is_five_per_cent() -> None:
    touching = Difference("m", 1.0, Interval(0.0, 2.0, 0.95, ""), 9, "cosine", JUDGE, True)
    assert p_value(touching) == pytest.approx(0.05)
    assert p_value(replace(touching, value=None, interval=None)) == 1.0
    assert p_value(replace(touching, interval=Interval(1.0, 1.0, 0.95, ""))) == 0.0


def test_other_judge_gives_no_difference() -> None:
    other = report(cosines() + 1, Judge("identity_eval", "cd" * 32))
    (difference,) = compare_reports({"1": report(cosines()), "2": other}).line("identity_cosine").differences
    assert difference.value is None and "not comparable" in difference_text(difference)


def test_reports_of_other_images_are_refused() -> None:
    other = replace(report(cosines()), names=tuple(f"x{index}" for index in range(IMAGES)))
    with pytest.raises(ValueError, match="not measured on the images"):
        compare_reports({"1": report(cosines()), "2": other})
    with pytest.raises(ValueError, match="two reports"):
        compare_reports({"1": report(cosines())})


def test_images_whose_answers_differ_most_come_first() -> None:
    assert most_changed(np.array([0.0, 3.0, 1.0, 7.0]), 3) == [3, 1, 2]
    comparison = compare_reports({"1": report(cosines()), "2": report(cosines(), level=102)})
    assert len(comparison.differing) == 12 and comparison.differing[0].change_levels == pytest.approx(2.0)
    assert [row.name for row in comparison.fixed] == ["0", "1", "2"]
    assert (comparison.differing[0].changes[0] == 16).all()  # twice eight levels
    assert comparison_sheet(comparison, comparison.fixed, "title").shape[2] == 3


def test_page_loads_nothing_and_says_in_words_what_is_real() -> None:
    comparison = compare_reports({"1": report(cosines()), "2 <b>": report(cosines() - 0.05)})
    changes = (TextTable("Settings", ("", "1", "2"), (("editor.kimg", "24", "48"),)), TextTable("Code", ("",), ()))
    page = render_comparison(ComparedPage(comparison, changes, ("images < seen",)))
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page) and "http" not in page
    assert "worse</td>" in page and "editor.kimg" in page and "hair: fair" in page and "Nothing." in page
    assert "images &lt; seen" in page and "2 <b>" not in page


def test_table_has_a_row_for_each_metric_and_version() -> None:
    table = table_columns(compare_reports({"1": report(cosines()), "2": report(cosines() - 0.05)}))
    assert {len(column) for column in table.values()} == {4}
    assert table["verdict"] == ["baseline", "worse", "baseline", "worse"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0123, "share", "+1.2 pp"), (-0.5, "dB", "-0.50 dB"), (0.25, "degrees", "+0.25°"), (0.0, "cosine", "+0.000")],
)
def test_differences_bear_their_sign_and_shares_are_points(value: float, unit: str, text: str) -> None:
    assert signed(value, unit) == text


def recorded(value: float, digest: str = "ab", measured_on: str = "set A", protocol: str = "share") -> RecordedReport:
    interval = Interval(value - 0.1, value + 0.1, 0.95, "bootstrap")
    metric = Metric("attribute_success", value, 500, interval, "share", "attribute_eval", digest, protocol, True)
    record = {"rows": [{"key": "did_nothing", "metrics": []}, {"key": EDITOR, "metrics": [asdict(metric)]}]}
    return RecordedReport.of(record, "smile", measured_on)


def test_recorded_numbers_of_one_judge_and_set_are_subtracted_without_an_interval() -> None:
    comparison = compare_recorded({"1": recorded(0.90), "2": recorded(0.95)})
    (difference,) = comparison.line("attribute_success").differences
    assert difference.value == pytest.approx(0.05) and not difference.real and verdict(difference) == "no interval"
    assert comparison.line("attribute_success").metrics[0].interval == Interval(0.8, 1.0, 0.95, "bootstrap")
    assert "measured for this page" in render_comparison(ComparedPage(comparison))


@pytest.mark.parametrize(
    "other", [recorded(0.95, digest="cd"), recorded(0.95, measured_on="set B"), recorded(0.95, protocol="another")]
)
def test_recorded_numbers_of_another_judge_set_or_protocol_are_never_subtracted(other: RecordedReport) -> None:
    comparison = compare_recorded({"1": recorded(0.90), "2": other})
    (difference,) = comparison.line("attribute_success").differences
    assert difference.value is None and "not comparable" in difference.note
    assert "not comparable" in render_comparison(ComparedPage(comparison))


def test_metric_that_only_one_report_recorded_is_told() -> None:
    comparison = compare_recorded({"1": recorded(0.90), "2": RecordedReport("smile", {}, "set A")})
    (difference,) = comparison.line("attribute_success").differences
    assert difference.value is None and "did not measure it" in difference.note
