"""What a plan is expected to cost: by runs of the same asset, scaled by its work; unknown where there was none."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.compute.cost import KEPT, Expected, expected, past_costs, planned_costs, remember, total
from orchestration.compute.cost_page import duration, plan_document
from orchestration.compute.usage import Usage
from orchestration.graph import AssetId
from orchestration.plan import PlanItem
from orchestration.workspace import FACTS_FILE, Workspace

ChangeParams = Callable[[Workspace, dict[str, object]], None]
NETWORK, PAIRS, BEARD = AssetId("original_network"), AssetId("edit_pairs", "beard"), AssetId("feature_network", "beard")


def ran(ws: Workspace, asset_id: AssetId, seconds: float, rate: float | None = None) -> None:
    """Write down that the asset was made under the present settings."""
    counted = {"counted": round(rate * 100), "counted_s": 100.0, "unit": "images"} if rate else {}
    remember(ws, ws.params(), asset_id, (1, "cpu"), Usage(attempts=1, seconds=seconds, **counted))  # type: ignore[arg-type]


def cost(ws: Workspace, asset_id: AssetId) -> Expected | None:
    return expected(ws, ws.params(), asset_id)


def known(ws: Workspace, asset_id: AssetId) -> Expected:
    found = cost(ws, asset_id)
    assert found is not None
    return found


def test_asset_that_never_ran_is_unknown_and_never_nothing(workspace: Workspace) -> None:
    assert cost(workspace, NETWORK) is None
    rows = planned_costs(workspace, workspace.params(), [PlanItem(NETWORK, "run", ("never made",))])
    assert total(rows).unknown == 1
    (item,) = plan_document(rows)["items"]
    assert item["expected_seconds"] is None and item["expected_device_hours"] is None


def test_expectation_is_the_median_of_the_newest_runs(workspace: Workspace) -> None:
    for seconds in (900.0, 900.0, 900.0, 10.0, 30.0, 20.0, 11.0, 21.0):
        ran(workspace, NETWORK, seconds)
    assert known(workspace, NETWORK) == Expected(20.0, 20.0, "5 runs")


def test_oldest_runs_are_forgotten(workspace: Workspace) -> None:
    for seconds in range(KEPT + 3):
        ran(workspace, NETWORK, float(seconds))
    assert [past.seconds for past in past_costs(workspace, NETWORK)] == [float(n) for n in range(3, KEPT + 3)]


def test_more_work_takes_the_measured_rate(workspace: Workspace, change_params: ChangeParams) -> None:
    ran(workspace, NETWORK, 15.0, rate=50.0)
    change_params(workspace, {"original_network.kimg": 1.1})  # 1,000 images more
    found = known(workspace, NETWORK)
    assert found.seconds == pytest.approx(15.0 + 1000 / 50) and found.basis == "1 run, scaled by kimg"


def test_less_work_never_takes_less_than_its_share(workspace: Workspace, change_params: ChangeParams) -> None:
    change_params(workspace, {"original_network.kimg": 10.0})
    ran(workspace, NETWORK, 100.0, rate=50.0)  # its images alone would take 200 s at that rate
    change_params(workspace, {"original_network.kimg": 5.0})
    assert known(workspace, NETWORK).seconds == pytest.approx(50.0)


def test_work_without_a_rate_is_in_proportion(workspace: Workspace, change_params: ChangeParams) -> None:
    ran(workspace, PAIRS, 8.0)
    change_params(workspace, {"edit_pairs.count": 128})
    assert known(workspace, PAIRS).seconds == pytest.approx(16.0)


def test_work_of_one_attribute_alone_is_scaled_too(workspace: Workspace, change_params: ChangeParams) -> None:
    ran(workspace, BEARD, 12.0, rate=10.0)  # the preset gives it 0.12 kimg
    change_params(workspace, {"attributes.beard.feature_network.kimg": 0.22})
    found = known(workspace, BEARD)
    assert found.seconds == pytest.approx(22.0) and found.basis == "1 run, scaled by kimg"


def test_runs_of_other_settings_are_called_so(workspace: Workspace, change_params: ChangeParams) -> None:
    ran(workspace, NETWORK, 15.0)
    change_params(workspace, {"original_network.lr": 0.1})
    assert known(workspace, NETWORK) == Expected(15.0, 15.0, "1 run of other settings")
    ran(workspace, NETWORK, 40.0)
    assert known(workspace, NETWORK).basis == "1 run" and known(workspace, NETWORK).seconds == 40.0


def test_new_partition_is_expected_to_take_what_the_others_took(workspace: Workspace) -> None:
    ran(workspace, AssetId("edit_pairs", "beard"), 10.0)
    ran(workspace, AssetId("edit_pairs", "short_hair"), 14.0)
    found = known(workspace, AssetId("edit_pairs", "slicked_back_hair"))
    assert found.seconds == 12.0 and found.basis == "2 runs of other partitions"


def test_more_devices_take_less_time_and_the_same_device_hours(
    workspace: Workspace, change_params: ChangeParams
) -> None:
    ran(workspace, NETWORK, 40.0)
    change_params(workspace, {"compute.requests": {"original_network": {"devices": 2}}})
    assert (known(workspace, NETWORK).seconds, known(workspace, NETWORK).device_seconds) == (20.0, 40.0)


def test_light_asset_takes_time_and_no_device(workspace: Workspace) -> None:
    ran(workspace, AssetId("images"), 9.0)
    assert known(workspace, AssetId("images")) == Expected(9.0, 0.0, "1 run")


def test_asset_made_before_costs_were_remembered_is_known_by_its_facts(workspace: Workspace) -> None:
    folder = workspace.evidence("original_network")
    folder.mkdir(parents=True)
    (folder / FACTS_FILE).write_text(json.dumps({"seconds": 33.0, "ledger_entry": 4}))
    assert known(workspace, NETWORK) == Expected(33.0, 33.0, "1 run of other settings")


def test_broken_record_is_no_run_and_no_failure(workspace: Workspace) -> None:
    ran(workspace, NETWORK, 5.0)
    (path,) = (workspace.state / "costs").glob("*.json")
    path.write_text('[{"seconds": ')
    assert cost(workspace, NETWORK) is None


def test_sums_keep_what_may_run_apart_and_reuse_costs_nothing(workspace: Workspace) -> None:
    for asset_id, seconds in ((NETWORK, 3600.0), (BEARD, 1800.0), (PAIRS, 60.0)):
        ran(workspace, asset_id, seconds)
    items = [PlanItem(NETWORK, "run", ()), PlanItem(BEARD, "maybe", ()), PlanItem(PAIRS, "reuse", ())]
    document = plan_document(planned_costs(workspace, workspace.params(), items))
    assert document["expected"]["run"] == {"assets": 1, "seconds": 3600.0, "device_hours": 1.0, "unknown": 0}
    assert document["expected"]["maybe"]["device_hours"] == 0.5
    assert document["items"][2]["expected_seconds"] == 0


def test_plan_prints_its_cost_for_people_and_programs(workspace: Workspace) -> None:
    ran(workspace, NETWORK, 90.0)
    runner = CliRunner(env={"COLUMNS": "250"})
    told = runner.invoke(app, ["plan", "--select", "+original_network"])
    (line,) = [row for row in told.output.splitlines() if "original_network" in row]
    assert told.exit_code == 0 and "1.5 min" in line and "0.025" in line and "1 run" in line
    assert "To run: 3 assets, 1.5 min one after the other, 0.025 device-hours; 2 of them are unknown" in told.output
    document = json.loads(runner.invoke(app, ["plan", "--select", "+original_network", "--json"]).output)
    assert document["expected"]["run"]["seconds"] == 90.0 and document["expected"]["run"]["unknown"] == 2


def test_run_leaves_what_it_cost_to_the_next_plan(finished: Workspace) -> None:
    for asset_id in (NETWORK, BEARD, AssetId("images")):
        (past,) = past_costs(finished, asset_id)
        assert past.seconds > 0 and past.settings and known(finished, asset_id).basis == "1 run"
    assert known(finished, NETWORK).device_seconds == known(finished, NETWORK).seconds


def test_durations_read_well() -> None:
    assert [duration(s) for s in (8.24, 204, 5400)] == ["8.2 s", "3.4 min", "1.5 h"]
