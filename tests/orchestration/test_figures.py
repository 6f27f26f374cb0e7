"""Figures: read from what the runs published, never filled in where something was not measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evaluation.metrics.metric import Interval, Judge, Metric, not_measured
from orchestration.attribute_figures import attribute_figures
from orchestration.figures import COMMAND, measured, show, write_figures
from orchestration.graph import AssetId
from orchestration.progress import StepStatus
from orchestration.results import Figure, read_records
from orchestration.run_record import RunRecord, read_run_records, untouched, write_run_record
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace

JUDGE = Judge("attribute_eval", "0123456789")
BEARD = AssetId("attribute_report", "beard")


def publish_json(ws: Workspace, asset_id: AssetId, file: str, document: Mapping[str, Any]) -> None:
    """Publish a payload of one document, DVC aside."""
    wanted = Wanted(
        asset=asset_id.asset, partition=asset_id.partition, code_version="1", params_digest="p", params={}, seed=0,
        inputs={}, device_class="any",
    )  # fmt: skip
    with staging_dir(ws.root, asset_id) as staged:
        (staged / file).write_text(json.dumps(document))
        publish(ws.root, PublishRecord(wanted=wanted), staged, commit_dvc=False)


def report(success: float | None, n: int = 500) -> dict[str, Any]:
    """A report of one row, whose metrics are the evaluation room's own records."""
    interval = None if success is None else Interval(success - 0.02, success + 0.01, 0.95, "bootstrap")
    known = Metric("attribute_success", success, n, interval, "share", JUDGE.name, JUDGE.digest, "", True)
    missing = not_measured("attribute_success", "share", JUDGE, "", "the judge was away", n)
    return {"rows": [{"key": "editor", "metrics": [(known if success is not None else missing).record()]}]}


def named(ws: Workspace) -> dict[str, Figure]:
    return _by_name(measured(ws))


def of_attributes(ws: Workspace) -> dict[str, Figure]:
    return _by_name(attribute_figures(ws))


def _by_name(figures: list[Figure]) -> dict[str, Figure]:
    assert len({figure.name for figure in figures}) == len(figures)
    return {figure.name: figure for figure in figures}


def finish_run(ws: Workspace, states: Mapping[str, str], seconds: float = 600.0, **changes: Any) -> RunRecord:
    """Leave the record of a run whose assets ended so."""
    folder = ws.state / "runs" / f"20240607-1200{len(read_run_records(ws)):02d}-aaaaaa"
    folder.mkdir(parents=True)
    statuses = {name: StepStatus(name, state, seconds=1.5) for name, state in states.items()}
    known: dict[str, Any] = {"seconds": seconds, "exit_code": 0, "asked": (None, None), "from_nothing": True}
    return write_run_record(ws, folder, statuses, **{**known, **changes})


def test_empty_workspace_has_every_figure_and_none_of_them_is_invented(workspace: Workspace, tmp_path: Path) -> None:
    records = write_figures(workspace, tmp_path / "docs")
    here = [r for r in records if not r.name.startswith("shipped weights")]
    assert {r.value for r in here} == {None} and all(r.note for r in here)
    assert {r.name for r in records} >= {f"editor {a}: attribute success" for a in workspace.params().attributes}
    assert {r.met for r in here} == {None}
    assert {r.command for r in read_records(tmp_path / "docs")} == {COMMAND}


def test_report_gives_value_interval_judge_and_number_of_images(workspace: Workspace) -> None:
    publish_json(workspace, BEARD, "metrics.json", report(0.93))
    figure = named(workspace)["editor beard: attribute success"]
    assert figure.value == 0.93 and figure.interval == pytest.approx((0.91, 0.94))
    assert figure.bar is not None and figure.bar.met(0.93) and not figure.bar.met(0.89)
    assert "500 images" in figure.note and "attribute_eval 01234567" in figure.note
    assert len(figure.date) == 10


def test_bar_is_not_laid_on_fewer_images_than_it_speaks_of(workspace: Workspace) -> None:
    publish_json(workspace, BEARD, "metrics.json", report(1.0, n=16))
    figure = named(workspace)["editor beard: attribute success"]
    assert figure.bar is None and "asks for 500" in figure.note and figure.value == 1.0


def test_metric_without_value_says_why(workspace: Workspace) -> None:
    publish_json(workspace, BEARD, "metrics.json", report(None))
    figures = named(workspace)
    assert figures["editor beard: attribute success"].value is None
    assert "the judge was away" in figures["editor beard: attribute success"].note
    assert "no such row" in of_attributes(workspace)["editor beard: identity cosine, other subjects"].note


def edit_report(edit: float, truth: float, n: int = 500) -> dict[str, Any]:
    """An attribute report that holds identity cosines alone."""

    def row(key: str, value: float) -> dict[str, Any]:
        metric = Metric("identity_cosine", value, n, None, "cosine", "identity_eval", "0123456789", "", True)
        return {"key": key, "metrics": [metric.record()]}

    return {"rows": [row("editor", edit), row("true_counterfactual", truth)]}


def test_identity_is_held_against_the_true_counterfactual(workspace: Workspace) -> None:
    """0.90 of 0.94 is 0.957: an edit can keep no more of a face than the truth does."""
    publish_json(workspace, BEARD, "metrics.json", edit_report(0.90, 0.94))
    figure = of_attributes(workspace)["editor beard: identity cosine, edit over true counterfactual"]
    assert figure.value is not None and figure.bar is not None
    assert figure.value == pytest.approx(0.957, abs=1e-3) and figure.bar.met(figure.value)
    assert not figure.bar.met(0.94)


def test_levels_that_mask_fusion_does_not_win_are_told(workspace: Workspace) -> None:
    row = {"baseline": "pixel_paste", "cost": "change_outside", "verdict": "loses", "success": 0.5}
    document = {
        "comparisons": [row, {**row, "success": 0.9}, {**row, "cost": "seam", "verdict": "wins"}],
        "not_won": {"layer_swap": [], "pixel_paste": [0.5, 0.9], "latent_direction": []},
    }
    publish_json(workspace, AssetId("fusion_report", "beard"), "pareto.json", document)
    name = "mask fusion beard: levels of success at which pixel pasting by the mask changes no more outside"
    figure = of_attributes(workspace)[name]
    assert figure.value == 2 and "not won at 50%, 90%" in figure.note and "seam: wins" in figure.note


@pytest.mark.parametrize(("subjects", "judged"), [(500, True), (8, False)])
def test_identification_has_its_bar_on_500_subjects_only(workspace: Workspace, subjects: int, judged: bool) -> None:
    """Eight subjects are told apart by chance; 500 are not."""
    scores = {"accuracy_mean": 0.98, "accuracy_min": 0.97, "accuracy_beard": 0.99, "rank1": 0.995, "error_deg": 1.0}
    judge = {"held_out_subjects": [3_000_000, 3_000_000 + subjects], "scores": scores}
    names = ("attribute_eval", "identity_eval", "parser_eval", "pose")
    publish_json(
        workspace, AssetId("judges"), "judges.json",
        {"judges": dict.fromkeys(names, judge), "colour_histogram_rank1": 0.1},
    )  # fmt: skip
    figures = named(workspace)
    identity = figures["judge identity_eval: rank-1 identification"]
    assert (identity.bar is not None) is judged and identity.value == 0.995
    assert figures["judge attribute_eval: accuracy, beard"].value == 0.99
    assert figures["judge attribute_eval: accuracy, short_hair"].note == "not among the scores"


def test_original_network_must_not_get_worse(workspace: Workspace) -> None:
    ratio = Metric("frechet_ratio", 1.06, 2000, None, "ratio", "features", "d4", "", False)
    document = {"rows": [{"key": "continued", "metrics": [ratio.record()]}]}
    publish_json(workspace, AssetId("original_report"), "metrics.json", document)
    figure = named(workspace)["original network: Fréchet distance, trained on over start"]
    assert figure.bar is not None and not figure.bar.met(1.06) and figure.bar.met(1.05)


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ({"from_nothing": False}, {"a": "done", "b": "done"}),
        ({"exit_code": 1}, {"a": "done", "b": "done"}),
        ({"asked": ("images", None)}, {"a": "done"}),
        ({"asked": (None, ["beard"])}, {"a": "done"}),
        ({}, {"a": "done", "b": "reused"}),
    ],
)
def test_run_that_did_less_than_everything_does_not_stand_for_the_demo(
    workspace: Workspace, changes: dict[str, Any], states: dict[str, str]
) -> None:
    finish_run(workspace, {"a": "done", "b": "done"}, seconds=900.0)
    finish_run(workspace, states, seconds=1.0, **changes)
    assert named(workspace)["demo: whole graph from nothing"].value == 15.0


def test_interrupted_work_is_not_from_nothing(workspace: Workspace) -> None:
    """A run that goes on from another's checkpoint takes less than the whole time."""
    assert untouched(workspace)
    workdir = workspace.workdir("original_network")
    (workdir / "checkpoints").mkdir(parents=True)
    assert untouched(workspace)
    (workdir / "checkpoints" / "1.safetensors").touch()
    assert not untouched(workspace)
    (workdir / "checkpoints" / "1.safetensors").unlink()
    publish_json(workspace, AssetId("images"), "dataset.json", {})
    assert not untouched(workspace)


def test_record_of_a_run_reads_back(workspace: Workspace) -> None:
    made = finish_run(workspace, {"a": "done", "b": "reused"}, asked=("a+", ["beard"]))
    assert read_run_records(workspace) == [made]
    assert made.states == {"done": 1, "reused": 1} and made.date == "2024-06-07" and not made.built_everything
    assert dataclasses.replace(made, states={"reused": 2}).reused_everything


def test_figures_are_shown_with_what_is_missing(workspace: Workspace, tmp_path: Path) -> None:
    console = Console(width=250, record=True, quiet=False)
    show(write_figures(workspace, tmp_path / "docs"), console)
    text = console.export_text()
    assert "editor beard: attribute success" in text and "run `editloom run` first" in text


def test_built_workspace_yields_its_figures(baseline: Workspace, tmp_path: Path, editloom: Callable[..., Any]) -> None:
    """The whole way, on reports and records that the product wrote itself."""
    done = editloom(baseline, "figures", "--directory", str(tmp_path / "docs"))
    assert done.returncode == 0, done.stderr
    of_group = {(r.group, r.name): r for r in read_records(tmp_path / "docs")}
    figures = {name: r for (group, name), r in of_group.items() if group == "spine"}
    assert figures["demo: registered editors"].value == 3 and figures["demo: registered editors"].met
    assert 0 < (figures["demo: whole graph from nothing"].value or 0) < 30
    assert 0 < (figures["demo: second run, all reused"].value or 0) < 60
    for name in ("attribute success", "PSNR outside the mask", "identity cosine, other subjects", "pose change, edit"):
        assert of_group[("attribute", f"editor beard: {name}")].value is not None, name
    assert of_group[("attribute", "editor beard: identity cosine, edit over true counterfactual")].value is not None
    assert of_group[("attribute", "pairs beard: PSNR outside both images' regions")].value is not None
    assert of_group[("attribute", "feature network beard: chosen snapshot")].value is not None
    assert "schedule" in of_group[("attribute", "pairs beard: editing complexity")].note
    assert figures["original network: thousands of images trained on"].value == pytest.approx(0.1, abs=0.02)
    assert "editor beard: attribute success" in (tmp_path / "docs" / "results.md").read_text()
    pictures = {path.name for path in (tmp_path / "docs").glob("*.png")}
    assert pictures == {"edits.png", "fusion.png", "methods.png", "pareto.png"}
