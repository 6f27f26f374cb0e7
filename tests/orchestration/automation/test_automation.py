"""Sensors, schedules, conditions and hooks as Dagster sees them: shown, off, and on by params.yaml alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from orchestration.automation.conditions import on_new_report
from orchestration.automation.graph_run import chain_of, dependents_of
from orchestration.automation.schedules import system_schedules
from orchestration.automation.sensors import consent_sensor, inbox_sensor, reaper_sensor
from orchestration.automation_sections import Automation
from orchestration.consent.registry import ConsentChange, record_changes
from orchestration.graph import GRAPH, AssetId, select
from orchestration.new_workspace import presets
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.automation.drops import bare, make_all

ON = {
    "inbox": {"enabled": True, "path": "inbox", "interval_s": 7},
    "schedules": {"attribute": "0 3 * * 1"},
    "timezone": "UTC",
    "consent": {"retrain": True},
    "releases": {"on_report": True},
    "freshness": {"attribute_release": 7},
    "failures": {"enabled": True},
    "reaper": {"enabled": True},
}
SHOWN = """
import json, sys
import orchestration.automation.definitions as location
torch = "torch" in sys.modules
from orchestration.definitions import defs as graph
found = {}
for defs in (location.defs, graph):
    repository = defs.get_repository_def()
    found |= {one.name: one.default_status.name for one in (*repository.sensor_defs, *repository.schedule_defs)}
release = graph.resolve_asset_graph().get(__import__("dagster").AssetKey("attribute_release"))
policy = release.freshness_policy
print(json.dumps([found, torch, policy and policy.fail_window.to_timedelta().days]))
"""


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return bare(tmp_path, ON)


def shown(root: Path) -> tuple[dict[str, str], bool, int | None]:
    """What both code locations show of a workspace, whether the automation's took torch, and the release's days."""
    done = subprocess.run(
        [sys.executable, "-c", SHOWN], cwd=root, env={**os.environ, VARIABLE: str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found, torch, days = json.loads(done.stdout.splitlines()[-1])
    return found, torch, days


def test_everything_is_shown_and_off_until_params_switch_it_on(
    ws: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found, torch, days = shown(ws.root)
    names = {"inbox", "consent", "reaper", "failures", "reports_to_releases", "attribute_system"}
    assert found == dict.fromkeys(names, "RUNNING") and days == 7
    assert not torch  # what looks every few seconds stays small
    root = tmp_path_factory.mktemp("off")
    (root / "params.yaml").write_text(presets()["smoke"].read_text())
    assert shown(root) == (dict.fromkeys(names, "STOPPED"), False, None)


def test_every_preset_writes_out_what_is_off() -> None:
    for preset in presets().values():
        written = yaml.safe_load(preset.read_text())["automation"]
        assert written == json.loads(Automation().model_dump_json()), preset.name


def test_intervals_and_times_are_those_of_params(ws: Workspace) -> None:
    settings = ws.params().automation
    assert inbox_sensor(settings).minimum_interval_seconds == 7
    (schedule,) = system_schedules(settings)
    assert schedule.cron_schedule == "0 3 * * 1" and schedule.execution_timezone == "UTC"
    with dg.build_schedule_context() as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.run_config["ops"]["run_graph"]["config"]["select"] == chain_of("attribute")
    attribute = {name for name, node in GRAPH.items() if node.partition == "attribute"}
    assert attribute < set(select(chain_of("attribute")))


def test_request_names_what_depends_on_the_drop_and_what_was_never_made(ws: Workspace) -> None:
    assert dependents_of(ws, AssetId("images")) == ("images+,judge_images,judges", ())
    make_all(ws)
    assert dependents_of(ws, AssetId("images")) == ("images+", ())
    assert dependents_of(ws, AssetId("attribute_images", "beard")) == ("attribute_images+", ("beard",))


def test_withdrawal_asks_for_one_run_and_no_second_time(ws: Workspace) -> None:
    sensor = consent_sensor(ws.params().automation)

    def look(cursor: str | None) -> tuple[list[str | None], str | None]:
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor) as context:
            data = sensor.evaluate_tick(context)
        return [request.run_key for request in data.run_requests or ()], data.cursor

    asked, cursor = look(None)
    assert asked == []
    gone = [ConsentChange(state="withdrawn", images=(f"{n:064x}",), reason="by mail", by="Ada") for n in range(2)]
    last = record_changes(ws.root, gone)[-1].seq
    asked, cursor = look(cursor)
    assert asked == [f"withdrawal-{last}"] and cursor == str(last)
    assert look(cursor) == ([], cursor)
    record_changes(ws.root, [gone[0].model_copy(update={"state": "granted"})])
    assert look(cursor)[0] == []


def test_reaper_says_what_it_gave_back(ws: Workspace) -> None:
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
        data = reaper_sensor(ws.params().automation).evaluate_tick(context)
    assert data.skip_message == "Nothing was left behind."


@dg.asset(key="attribute_report", partitions_def=dg.StaticPartitionsDefinition(["beard", "smile"]))
def _report() -> None: ...


@dg.asset(
    key="attribute_release",
    deps=["attribute_report"],
    partitions_def=dg.StaticPartitionsDefinition(["beard", "smile"]),
    automation_condition=on_new_report(GRAPH["attribute_release"]),
)
def _release() -> None: ...


def test_report_that_came_out_different_starts_its_release_and_one_that_stands_does_not(tmp_path: Path) -> None:
    """The condition alone, by Dagster's own evaluation; the real assets carry it, see above."""
    defs = dg.Definitions(assets=[_report, _release])
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def made(asset: str, version: str) -> None:
            tags = {DATA_VERSION_TAG: version}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="beard", tags=tags))

        cursor = None

        def asked() -> set[str | None]:
            nonlocal cursor
            found = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
            cursor = found.cursor
            return set(found.get_requested_partitions(dg.AssetKey("attribute_release")))

        made("attribute_report", "one")
        made("attribute_release", "one")
        assert asked() == set()
        made("attribute_report", "one")  # found to stand
        assert asked() == set()
        made("attribute_report", "two")
        assert asked() == {"beard"}
        assert asked() == set()  # it was asked for
        made("attribute_release", "two")
        assert asked() == set()
        made("attribute_report", "three")
        assert asked() == {"beard"}
