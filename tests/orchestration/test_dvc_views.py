"""DVC's own commands over a built workspace: what an auditor who knows DVC alone sees."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration import dvc_views, dvc_yaml
from orchestration.graph import GRAPH, AssetId, expand
from orchestration.plan import wanted
from orchestration.store.dvc import run_dvc
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace

REPORT = AssetId("original_report")
PARAM = "original_report.images"


@pytest.fixture
def committed(baseline: Workspace) -> Workspace:
    """The built workspace, its dvc.lock in git."""
    git(baseline.root, "add", "--all")
    git(baseline.root, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-q", "-m", "run")
    return baseline


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True)


def remade(ws: Workspace, change: Callable[[dict[str, float]], None]) -> None:
    """Publish the report again, its summary changed: a new version without the minutes of measuring."""
    with staging_dir(ws.root, REPORT) as staged:
        shutil.copytree(ws.root / REPORT.path, staged, dirs_exist_ok=True)
        known = json.loads((staged / dvc_views.SUMMARY).read_text())
        change(known)
        (staged / dvc_views.SUMMARY).write_text(json.dumps(known))
        publish(ws.root, PublishRecord(wanted=wanted(ws, ws.params(), REPORT)), staged)


def test_dag_shows_every_stage_by_name(finished: Workspace) -> None:
    shown = run_dvc(finished.root, "dag", "--dot")
    for asset_id in expand(list(finished.params().attributes)):
        assert f'"{asset_id.stage}"' in shown
        for dep in GRAPH[asset_id.asset].deps:
            source = AssetId(dep, asset_id.partition if GRAPH[dep].partition else None)
            assert f'"{source.stage}" -> "{asset_id.stage}"' in shown


def test_metrics_are_numbers_by_metric_and_judge(finished: Workspace) -> None:
    known = json.loads(run_dvc(finished.root, "metrics", "show", "--json"))[""]["data"]
    reports = [one for one in expand(list(finished.params().attributes)) if one.asset in dvc_views.REPORTS]
    assert set(known) == {f"{one.path}/{dvc_views.SUMMARY}" for one in reports}
    for file in known.values():
        assert file["data"] and all(isinstance(value, float) and "/" in key for key, value in file["data"].items())


def test_diffs_tell_the_changed_param_and_the_changed_number(
    committed: Workspace, change_params: Callable[..., None]
) -> None:
    before = committed.params().original_report.images
    change_params(committed, {PARAM: before + 1})
    remade(committed, lambda known: known.update({key: 0.5 for key in list(known)[:1]}))
    params = json.loads(run_dvc(committed.root, "params", "diff", "--json"))
    assert params["params.yaml"][PARAM] == {"old": before, "new": before + 1, "diff": 1}
    metrics = json.loads(run_dvc(committed.root, "metrics", "diff", "--json"))
    (changed,) = metrics[f"{REPORT.path}/{dvc_views.SUMMARY}"].values()
    assert changed["new"] == 0.5 and changed["old"] != 0.5
    git(committed.root, "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "-aqm", "again")
    assert json.loads(run_dvc(committed.root, "metrics", "diff", "HEAD~1", "HEAD", "--json")) == metrics


def test_plots_draw_curves_and_pictures_of_two_versions(committed: Workspace, tmp_path: Path) -> None:
    drawn = json.loads(run_dvc(committed.root, "plots", "show", "--json", "-o", str(tmp_path / "shown")))["data"]
    curves = {f"{dvc_views.CURVED}_{field}" for field in dvc_views.CURVES}
    assert curves < set(drawn)
    (curve,) = drawn[f"{dvc_views.CURVED}_score"]
    files = {point["filename"] for point in curve["content"]["data"]["values"]}
    assert len(files) == len(committed.params().attributes)
    run_dvc(committed.root, "plots", "diff", "HEAD", "-o", str(tmp_path / "compared"))
    assert (tmp_path / "compared" / "index.html").is_file()
    names = {path.name for path in (tmp_path / "compared" / "static").iterdir()}
    assert {"HEAD_artifacts_original_report_sheet.png", "workspace_artifacts_original_report_sheet.png"} <= names


def test_repro_of_one_matrix_stage_goes_through_what_it_stands_on(
    committed: Workspace, change_params: Callable[..., None]
) -> None:
    partition = next(iter(committed.params().attributes))
    stage = AssetId("attribute_images", partition).stage
    assert "up to date" in run_dvc(committed.root, "repro", stage, "--dry")
    change_params(committed, {"seed": 5})
    said = run_dvc(committed.root, "repro", stage, "--dry")
    assert "Running stage 'images'" in said and "original_network" not in said
    assert f"'{stage}'" in said


def test_workspace_without_attributes_names_only_what_it_makes(workspace: Workspace) -> None:
    assert dvc_views.metrics([]) == [f"{REPORT.path}/{dvc_views.SUMMARY}"]
    assert dvc_views.plots([]) == [f"{REPORT.path}/sheet.png"]
    assert "metrics:" in dvc_yaml.render(workspace.params())
