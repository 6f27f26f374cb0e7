"""Workspaces: what `editloom new` makes, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from orchestration.new_workspace import presets
from orchestration.workspace import PARAMS_FILE, VARIABLE, Workspace


def words(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_new_workspace_is_committed_and_clean(workspace: Workspace) -> None:
    assert words(workspace.root, "git", "rev-list", "--count", "HEAD") == "1"
    assert words(workspace.root, "git", "status", "--porcelain") == ""
    committed = set(words(workspace.root, "git", "ls-files").splitlines())
    assert {PARAMS_FILE, "dvc.yaml", "mlflow/policy.yaml", "mlflow/model_card.md.j2", ".dvc/config"} <= committed
    assert not any(name.startswith((".editloom/", "artifacts/", "ledger/")) for name in committed)


def test_new_workspace_has_the_presets_settings(workspace: Workspace) -> None:
    assert workspace.params_file.read_bytes() == presets()["smoke"].read_bytes()
    assert set(workspace.params().attributes) == {"slicked_back_hair", "short_hair", "beard"}


def test_new_workspace_knows_dvc_without_analytics_and_with_a_remote(workspace: Workspace) -> None:
    config = words(workspace.root, sys.executable, "-m", "dvc", "config", "--list").splitlines()
    assert "core.analytics=false" in config
    assert "core.check_update=false" in config
    assert "core.remote=local" in config
    assert any(line.startswith("remote.local.url=") and line.endswith(".dvc-store") for line in config)


def test_new_leaves_a_directory_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        Workspace.new(tmp_path, "smoke")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_new_over_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        Workspace.new(tmp_path / "file", "smoke")


def test_unknown_preset_names_the_nearest_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean `smoke`"):
        Workspace.new(tmp_path / "new", "smokey")
    assert not (tmp_path / "new").exists()


def test_directory_that_is_no_workspace_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"params\.yaml.*editloom new"):
        Workspace.current()


def test_variable_wins_over_the_current_directory(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace.current() == workspace
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=VARIABLE):
        Workspace.current()


def test_tracking_uri_of_the_environment_wins(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace.mlflow_uri == f"sqlite:///{workspace.root}/.editloom/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5999")
    assert workspace.mlflow_uri == "http://127.0.0.1:5999"


def test_payload_and_evidence_never_share_a_directory(workspace: Workspace) -> None:
    payload, evidence = workspace.payload("edit_pairs", "beard"), workspace.evidence("edit_pairs", "beard")
    assert payload == workspace.root / "artifacts" / "edit_pairs" / "beard"
    assert not evidence.is_relative_to(payload) and not payload.is_relative_to(evidence)


def test_dagster_counts_steps_in_pools_and_reports_nothing(workspace: Workspace) -> None:
    with workspace.dagster_instance() as instance:
        assert instance.telemetry_enabled is False
        assert instance.get_concurrency_config().pool_config.pool_granularity.value == "op"
        assert instance.root_directory == str(workspace.dagster_home)


def test_prepare_leaves_a_changed_dagster_yaml(workspace: Workspace) -> None:
    config = workspace.dagster_home / "dagster.yaml"
    changed = {**yaml.safe_load(config.read_text()), "run_queue": {"max_concurrent_runs": 1}}
    config.write_text(yaml.safe_dump(changed))
    workspace.prepare()
    assert yaml.safe_load(config.read_text()) == changed


def test_no_library_reports_its_use(tmp_path: Path) -> None:
    """Each library is asked itself, in a process whose environment had telemetry on."""
    script = """
from orchestration.telemetry import silence
silence()
import huggingface_hub.constants as hub, importlib.util, os
from dvc.analytics import is_enabled
from mlflow.telemetry.utils import is_telemetry_disabled
if importlib.util.find_spec("great_expectations.analytics"):  # later versions of 1.x no longer have a sender
    from great_expectations.analytics.config import ENV_CONFIG
    gx = not ENV_CONFIG.gx_analytics_enabled
else:
    gx = os.environ["GX_ANALYTICS_ENABLED"] == "False"
print(is_telemetry_disabled(), not is_enabled(), gx, hub.HF_HUB_DISABLE_TELEMETRY,
      os.environ["RAY_USAGE_STATS_ENABLED"] == "0", os.environ["DO_NOT_TRACK"] == "1",
      os.environ["DAGSTER_DISABLE_TELEMETRY"] == "yes")
"""
    hostile = {"MLFLOW_DISABLE_TELEMETRY": "false", "GX_ANALYTICS_ENABLED": "True", "DO_NOT_TRACK": "0"}
    hostile |= {"HF_HUB_DISABLE_TELEMETRY": "0", "DVC_NO_ANALYTICS": "", "RAY_USAGE_STATS_ENABLED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, **hostile}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["True"] * 7, done.stdout + done.stderr
