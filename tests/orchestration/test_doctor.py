"""The doctor: what is wrong is found, said with a remedy, and decides the exit status."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console

from orchestration import doctor
from orchestration.doctor import Finding, diagnose, report
from orchestration.workspace import Workspace


def finding(ws: Workspace, what: str) -> Finding:
    return {f.what: f for f in diagnose(ws)}[what]


@pytest.fixture
def tracking_server() -> Iterator[str]:
    """A server that answers /health as a tracking server does."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_new_workspace_has_nothing_essential_wrong(workspace: Workspace) -> None:
    wrong = [f for f in diagnose(workspace) if not f.ok and f.essential]
    assert wrong == []
    out = StringIO()
    assert report(workspace, Console(file=out, width=160)) == 0
    assert "params.yaml" in out.getvalue()


def test_every_finding_that_is_not_right_says_what_to_do(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "dvc.yaml").write_text("stages: {}\n")
    shutil.rmtree(workspace.root / ".dvc")
    workspace.params_file.write_text("seed: 1\n")
    findings = [f for f in diagnose(workspace) if not f.ok]
    assert {"params.yaml", "DVC", "dvc.yaml", "git"} <= {f.what for f in findings}
    assert all(f.todo for f in findings)


def test_wrong_settings_are_essential_and_named(workspace: Workspace) -> None:
    workspace.params_file.write_text(workspace.params_file.read_text() + "\nseeds: 1\n")
    found = finding(workspace, "params.yaml")
    assert not found.ok and "`seeds`" in found.found and "`seed`" in found.todo
    assert report(workspace, Console(file=StringIO())) == 1


def test_tracking_server_that_answers_is_right(
    workspace: Workspace, tracking_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    assert finding(workspace, "Tracking server").ok


def test_tracking_server_that_is_away_is_wrong(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # nothing listens on port 1
    found = finding(workspace, "Tracking server")
    assert not found.ok and "127.0.0.1:1" in found.found and "MLFLOW_TRACKING_URI" in found.todo


def test_damaged_tracking_database_is_found(workspace: Workspace) -> None:
    (workspace.state / "mlflow.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert not finding(workspace, "Tracking server").ok


def test_uncommitted_changes_are_told_but_do_not_stop(workspace: Workspace) -> None:
    (workspace.root / "notes.md").write_text("x")
    found = finding(workspace, "git")
    assert not found.ok and not found.essential and "1 uncommitted" in found.found


def test_runs_own_files_do_not_make_the_tree_unclean(workspace: Workspace) -> None:
    (workspace.root / "dvc.lock").write_text("schema: '2.0'\n")
    assert finding(workspace, "git").ok


def test_missing_remote_is_told(workspace: Workspace) -> None:
    config = workspace.root / ".dvc" / "config"
    config.write_text(config.read_text().replace("    remote = local\n", ""))
    assert "dvc remote add" in finding(workspace, "DVC").todo


def test_more_threads_than_cores_are_told(workspace: Workspace) -> None:
    text = workspace.params_file.read_text()
    workspace.params_file.write_text(
        text.replace("accelerator: auto", "accelerator: cpu").replace("devices: 2", "devices: 1024")
    )
    found = finding(workspace, "Devices")
    assert found.ok == (doctor.accelerator_count() > 0)


def test_requirement_that_is_not_met_is_named(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    needs = ["torch>=999", "no-such-distribution-anywhere>=1", "pyyaml>=5", "dlib-bin==1; extra == 'photos'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: needs)
    found = finding(workspace, "Packages")
    assert not found.ok and found.essential
    assert "torch" in found.found and "no-such-distribution-anywhere is missing" in found.found
    assert "yaml" not in found.found and "dlib" not in found.found
