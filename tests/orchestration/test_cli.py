"""The command line: what it says, and the status it exits with."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from orchestration.cli import app
from orchestration.graph import GRAPH, expand
from orchestration.workspace import Workspace

WIDE = {"COLUMNS": "250"}


def said(*arguments: str) -> Result:
    """Call the command line in this process; what is written to either stream stands in `output`."""
    return CliRunner(env=WIDE).invoke(app, list(arguments))


def test_every_command_says_what_it_does() -> None:
    listing = said("--help").output
    for command in app.registered_commands:
        assert command.callback is not None and command.callback.__doc__
        name = command.name or command.callback.__name__
        assert name in listing
        assert said(name, "--help").exit_code == 0


def test_new_workspace_names_the_next_command(tmp_path: Path) -> None:
    result = said("new", str(tmp_path / "ws"), "--preset", "smoke")
    assert result.exit_code == 0 and "editloom run" in result.output
    assert Workspace.at(tmp_path / "ws").params().attributes


def test_plan_of_an_empty_workspace_runs_everything(workspace: Workspace) -> None:
    result = said("plan")
    assert result.exit_code == 0
    for asset_id in expand(list(workspace.params().attributes)):
        assert any(str(asset_id) in line and "never made" in line for line in result.output.splitlines()), asset_id


def test_plan_names_the_partition_whose_input_changed(baseline: Workspace) -> None:
    """Brackets are part of a name: read as a style, `feature_network[beard]` would lose its end."""
    lines = said("plan", "--select", "feature_network+", "--partition", "beard").output.splitlines()
    assert sum("reuse" in line for line in lines) == 6
    text = baseline.params_file.read_text().replace("feature_network: {kimg: 0.12}", "feature_network: {kimg: 0.2}")
    baseline.params_file.write_text(text)
    told = said("plan", "--select", "feature_network+", "--partition", "beard").output
    assert "feature_network[beard] is made again" in told


def test_dvc_yaml_is_written_and_checked(workspace: Workspace) -> None:
    assert said("dvc-yaml", "--check").exit_code == 0
    (workspace.root / "dvc.yaml").write_text("stages: {}\n")
    stale = said("dvc-yaml", "--check")
    assert stale.exit_code == 2 and "editloom dvc-yaml" in stale.output
    assert said("dvc-yaml").exit_code == 0
    assert all(f"  {name}:" in (workspace.root / "dvc.yaml").read_text() for name in GRAPH)
