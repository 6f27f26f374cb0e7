"""`editloom evaluate` as its user meets it: no workspace, a table, a report, and mistakes told with status 2."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from data.errors import UserError
from data.png import encode_png
from data.render import USER, draw_scene, draw_subject, render
from evaluation.attribute_report import AttributeReportConfig
from evaluation.protocols.judge_sources import JudgeChoice
from orchestration.evaluate import EvaluateOptions, evaluate_folder, measuring_config

Editloom = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight rendered faces, each handed in as its own edit, without a workspace anywhere."""
    root = tmp_path / "results"
    root.mkdir()
    scenes = [draw_scene(USER.start + n, draw_subject(USER.start + n % PEOPLE)) for n in range(2 * PEOPLE)]
    lines = ["output,input,subject,slice:light"]
    for number, image in enumerate(render(scenes, 64).images):
        (root / f"in{number}.png").write_bytes(encode_png(image))
        (root / f"out{number}.png").write_bytes(encode_png(np.clip(image.astype(int) + 5, 0, 255).astype(np.uint8)))
        lines.append(f"out{number}.png,in{number}.png,person{number % PEOPLE},{'dark' if number < 4 else 'bright'}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    return root


def _options(protocol: str = "attribute", **changes: object) -> EvaluateOptions:
    config: AttributeReportConfig = measuring_config(seed=0, replicates=100, threshold=0.5)
    given: dict[str, object] = {"attribute": "beard", "config": config} | changes
    return EvaluateOptions(protocol, **given)  # type: ignore[arg-type]


def test_command_needs_no_workspace_and_writes_the_report(folder: Path, editloom: Editloom) -> None:
    out = folder.parent / "report"
    told = editloom(
        folder.parent, "evaluate", str(folder), "--protocol", "attribute", "--attribute", "beard",
        "--bootstrap", "100", "--out", str(out), "--json",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    record = json.loads(told.stdout)
    assert record == json.loads((out / "metrics.json").read_text())
    assert "know rendered faces only" in told.stderr
    assert {"report.html", "sheet.png", "worst.png", "per_image.parquet"} <= {file.name for file in out.iterdir()}


def test_mistake_exits_with_two_and_no_traceback(folder: Path, editloom: Editloom) -> None:
    (folder / "out3.png").unlink()
    told = editloom(folder.parent, "evaluate", str(folder), "--protocol", "attribute", "--attribute", "beard")
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert "pairs.csv, row 5: output" in told.stderr


def test_table_shows_intervals_and_sanity_rows(folder: Path) -> None:
    console = Console(width=250, record=True)
    report = evaluate_folder(folder, _options(), console)
    shown = console.export_text()
    assert "8 images of 4 subjects" in shown and "nothing" in shown and " … " in shown
    assert dict(report.slices)["light"] == ("dark",) * 4 + ("bright",) * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (_options("atribute"), "no protocol 'atribute'. Did you mean 'attribute'"),
        (_options(attribute=""), "needs to know which"),
        (_options(attribute="beart"), "Did you mean 'beard'"),
        (_options("text"), "there is no prompt"),
        (_options("swap"), "no column 'source'|unknown column 'input'"),
        (_options(judges=JudgeChoice("nowhere")), "no judges.json in nowhere"),
        (_options(judges=JudgeChoice(identity="dlip")), "Did you mean 'dlib'"),
        (_options(judges=JudgeChoice(identity="onnx=none.onnx")), "no such file"),
        (_options(judges=JudgeChoice(features="inceptoin")), "Did you mean 'inception'"),
        (_options(judges=JudgeChoice(features="inception=none.pth")), "none.pth"),
        (_options(device="cuda:99"), "no CUDA device"),
    ],
)
def test_wrong_option_is_told_with_what_is_known(folder: Path, options: EvaluateOptions, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_folder(folder, options, Console(quiet=True))
