"""Who hears of a failed run, how often, and in which words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from orchestration.automation.failures import failure_sensor
from orchestration.automation.graph_run import editloom_run
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.automation.drops import bare, broken, folder_params

Heard = list[dict[str, Any]]


@pytest.fixture
def hook() -> Iterator[tuple[str, Heard]]:
    """A webhook, and what it was told."""
    told: Heard = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Not into the test's output."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", told
    server.shutdown()
    server.server_close()


def tell(ws: Workspace, webhook: str, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """What Dagster's daemon does with a failed run, once the webhook stands in params.yaml."""
    document = yaml.safe_load(ws.params_file.read_text())
    document["automation"]["failures"] = {"enabled": True, "webhook": webhook, "timeout_s": 5}
    ws.params_file.write_text(yaml.safe_dump(document))
    entries = (entry.dagster_event for entry in instance.all_logs(run.run_id))
    (failure,) = (event for event in entries if event and event.event_type == dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        "failures", dagster_event=failure, dagster_instance=instance, dagster_run=run
    )
    failure_sensor(ws.params().automation)(context.for_run_failure())


def test_failed_run_is_logged_and_posted_and_a_dead_webhook_fails_nothing(
    tmp_path: Path, hook: tuple[str, Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op(name="bad_step")
    def bad_step() -> None:
        raise ValueError("no such thing")

    @dg.job(name="bad_job")
    def bad_job() -> None:
        bad_step()

    monkeypatch.setenv(VARIABLE, str(tmp_path))
    ws = bare(tmp_path)
    address, told = hook
    with dg.DagsterInstance.local_temp(str(ws.root)) as instance:
        run = bad_job.execute_in_process(instance=instance, raise_on_error=False).dagster_run
        for webhook in (address, "http://127.0.0.1:9/nobody"):
            tell(ws, webhook, instance, run)
    (said,) = told
    assert (said["job"], said["steps"], said["error"]) == ("bad_job", ["bad_step"], "ValueError: no such thing")
    assert said["text"] == "bad_job failed in bad_step: ValueError: no such thing"


@pytest.mark.timeout(600)
def test_command_that_dagster_started_is_told_of_once_and_in_its_own_words(
    workspace: Workspace, hook: tuple[str, Heard]
) -> None:
    document = folder_params(yaml.safe_load(workspace.params_file.read_text()))
    workspace.params_file.write_text(yaml.safe_dump(document, sort_keys=False))
    (workspace.root / "photos").mkdir()
    broken(workspace.root / "photos" / "cut.png")
    config = {"ops": {"run_graph": {"config": {"select": "images", "partitions": []}}}}
    with workspace.dagster_instance() as instance:
        editloom_run.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert {run.job_name for run in failed} == {editloom_run.name, "shared"}
        for run in failed:
            tell(workspace, hook[0], instance, run)
    (said,) = hook[1]
    assert said["job"] == editloom_run.name
    assert "editloom run ended with status 2" in said["error"] and "No image is left of 1" in said["error"]
