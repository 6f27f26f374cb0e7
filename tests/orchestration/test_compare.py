"""`editloom compare` on a built workspace: real versions from the registry, measured anew, and mistakes told."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from data.errors import UserError
from evaluation.comparison_page import verdict
from orchestration.compare import CompareOptions, compare
from orchestration.signing.model_signature import sign_folder
from orchestration.store.keys import signing_key
from orchestration.tracking import Tracker, open_tracker
from orchestration.tracking.model_spec import fetched, find_version, parse_spec
from orchestration.tracking.registry import register
from orchestration.workspace import Workspace

WEIGHTS = "editor.safetensors"


def name_of(ws: Workspace, place: int = 0) -> str:
    """The registered model of a workspace's attribute."""
    return ws.params().attribute_release.model_name(list(ws.params().attributes)[place])


def noisy_version(ws: Workspace, tracker: Tracker, name: str, folder: Path) -> str:
    """Register the first version again with noise on its weights; what it was made from is in no ledger."""
    files = fetched(ws, tracker, find_version(tracker, parse_spec(f"{name}/1")))
    weights = load_file(files / WEIGHTS)
    draw = torch.Generator().manual_seed(0)
    noisy = {key: value + 0.2 * torch.randn(value.shape, generator=draw) for key, value in weights.items()}
    folder.mkdir()
    save_file(noisy, folder / WEIGHTS)
    for file in files.iterdir():
        if file.name != WEIGHTS:
            (folder / file.name).write_bytes(file.read_bytes())
    sign_folder(folder, signing_key(ws.root))
    run = tracker.asset_run("noise", tracker.parent_run("noise", "noise"), "attribute_release", "noise")
    return register(tracker, run, name, sorted(folder.iterdir()), {"editloom.model": "0" * 64})


def test_degraded_version_is_worse_and_the_same_version_is_the_same(baseline: Workspace, tmp_path: Path) -> None:
    tracker, name = open_tracker(baseline), name_of(baseline)
    number = noisy_version(baseline, tracker, name, tmp_path / "noisy")
    console, out = Console(file=StringIO(), width=140), tmp_path / "page.html"
    page = compare(baseline, [f"{name}/1", f"{name}/1", f"{name}/{number}"], CompareOptions(out), console)
    assert page.comparison.labels == ("version 1", "version 1 #2", f"version {number}")
    same, noisy = page.comparison.line("psnr_outside").differences
    assert verdict(same) == "same" and verdict(noisy) == "worse"
    assert any(f"no entry for version {number}" in warning for warning in page.warnings)
    assert out.read_text().count("data:image/png;base64,") >= 12
    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`editloom.role` = 'comparison'")
    assert run.data.metrics[f"difference/psnr_outside/{noisy.judge.name}/v{number}"] == pytest.approx(noisy.value)
    assert run.data.tags["editloom.baseline"] == f"{name}/1" and run.info.status == "FINISHED"
    files = {file.path for file in tracker.client.list_artifacts(run.info.run_id)}
    assert {"page.html", "comparison_table.json"} <= files


def test_recorded_numbers_are_those_of_the_versions_own_report(finished: Workspace) -> None:
    name, attribute = name_of(finished), next(iter(finished.params().attributes))
    console = Console(file=StringIO(), width=140)
    page = compare(finished, [f"{name}/1", f"{name}@champion"], CompareOptions(recorded=True), console)
    record = json.loads((finished.payload("attribute_report", attribute) / "metrics.json").read_text())
    expected = {metric["name"]: metric["value"] for metric in record["rows"][0]["metrics"]}
    assert {line.name: line.metrics[0].value for line in page.comparison.lines} == expected
    assert page.comparison.recorded and "as recorded" in console.file.getvalue()  # type: ignore[attr-defined]


def test_mistakes_are_told_before_anything_is_measured(finished: Workspace, tmp_path: Path) -> None:
    first, second = name_of(finished), name_of(finished, 1)
    cases = [
        ([f"{first}/1"], None, "two versions or more"),
        ([f"{first}/1", f"{first}/99"], None, "no version 99"),
        ([f"{first}/1", f"{first}@nobody"], None, "no alias"),
        ([f"{first}/1", f"{second}/1"], None, "different attributes"),
        ([f"{first}/1", f"{first}x/1"], None, "No model is registered"),
        ([f"{first}/1", f"{first}/1"], tmp_path / "page.txt", "no name for a page"),
        ([f"{first}/1", f"{first}/1"], tmp_path / "nowhere" / "page.html", "does not exist"),
    ]
    for specs, out, message in cases:
        with pytest.raises(UserError, match=message):
            compare(finished, specs, CompareOptions(out), Console(file=StringIO()))
