"""What a run of the whole graph leaves: the ledger, Dagster, MLflow and the bytes say the same of every asset."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.graph import GRAPH, AssetId
from orchestration.release.decisions import last_decision
from orchestration.store import chain, journal, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import digest_payload
from orchestration.store.staging import STAGING
from orchestration.tracking import open_tracker, registry
from orchestration.tracking.runs import TAG_ASSET, TAG_DAGSTER_RUN, TAG_DATA_VERSION, TAG_PARENT, TAG_PARTITION
from orchestration.workspace import Workspace

Editloom = Callable[..., subprocess.CompletedProcess[str]]
PARTITION = "beard"
# One id of each asset: the other partitions come from the same code.
IDS = [AssetId(name, PARTITION if node.partition else None) for name, node in GRAPH.items()]
PICTURED = {
    "images",
    "aligned_images",
    "attribute_images",
    "original_network",
    "original_report",
    "feature_network",
    "edit_pairs",
    "attribute_report",
    "fusion_report",
}
# The eyes so low that the nose falls out of the crop: a setting that only its result shows to be wrong.
LOW_EYES = {"left_eye": [0.2, 0.95], "right_eye": [0.8, 0.95]}

each_asset = pytest.mark.parametrize("asset_id", IDS, ids=str)


@pytest.fixture(scope="module")
def client(finished: Workspace) -> MlflowClient:
    return open_tracker(finished).client


@pytest.fixture(scope="module")
def instance(finished: Workspace) -> Iterator[dg.DagsterInstance]:
    with finished.dagster_instance() as opened:
        yield opened


def entry_of(ws: Workspace, asset_id: AssetId) -> LedgerEntry:
    entry = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
    assert entry is not None, asset_id
    return entry


def run_of(ws: Workspace, client: MlflowClient, asset_id: AssetId) -> Run:
    run_id = entry_of(ws, asset_id).materialization.mlflow_run
    assert run_id is not None
    return client.get_run(run_id)


def materialization_of(instance: dg.DagsterInstance, asset_id: AssetId) -> tuple[str, dg.AssetMaterialization]:
    """The Dagster run and the event of an id's latest materialization."""
    partitions = [asset_id.partition] if asset_id.partition else None
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset_id.asset), asset_partitions=partitions)
    (record,) = instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return record.run_id, record.asset_materialization


def checks_of(instance: dg.DagsterInstance, asset: str, check: str) -> list[dg.AssetCheckEvaluation]:
    """A check's evaluations, the latest first."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    events = [record.event for record in history if record.event is not None]
    return [event.dagster_event.asset_check_evaluation_data for event in events if event.dagster_event is not None]


@each_asset
def test_ledger_speaks_of_the_bytes_in_place(finished: Workspace, asset_id: AssetId) -> None:
    made = entry_of(finished, asset_id).materialization
    assert digest_payload(finished.root / asset_id.path).root == made.data_version
    node, inputs = GRAPH[asset_id.asset], dict(made.wanted.inputs)
    for setting in node.settings:
        assert inputs.pop(f"file:{setting}") == hashlib.sha256((finished.root / setting).read_bytes()).hexdigest()
    assert set(inputs) == {str(i) for i in IDS if i.asset in node.deps}
    for name, version in inputs.items():
        assert version == entry_of(finished, AssetId.parse(name)).materialization.data_version


@each_asset
def test_dagster_shows_the_ledgers_data_version(
    finished: Workspace, instance: dg.DagsterInstance, asset_id: AssetId
) -> None:
    made = entry_of(finished, asset_id).materialization
    run_id, event = materialization_of(instance, asset_id)
    assert run_id == made.dagster_run
    assert (event.tags or {})["dagster/data_version"] == made.data_version
    assert event.metadata["mlflow_run"].value == made.mlflow_run
    assert event.metadata["reused"].value is False
    written = [str(m.value) for m in event.metadata.values() if isinstance(m, dg.MarkdownMetadataValue)]
    assert any("(data:image/png;base64," in text for text in written) == (asset_id.asset in PICTURED)


@each_asset
def test_mlflow_run_leads_to_dagster_and_to_the_bytes(
    finished: Workspace, client: MlflowClient, asset_id: AssetId
) -> None:
    entry, run = entry_of(finished, asset_id), run_of(finished, client, asset_id)
    tags = run.data.tags
    assert tags[TAG_ASSET] == asset_id.asset and tags[TAG_PARTITION] == (asset_id.partition or "-")
    assert tags[TAG_DAGSTER_RUN] == entry.materialization.dagster_run
    assert tags[TAG_DATA_VERSION] == entry.materialization.data_version
    assert tags["editloom.ledger_entry"] == str(entry.seq)
    assert run.info.status == "FINISHED"
    parent = client.get_run(tags[TAG_PARENT])
    assert parent.info.status == "FINISHED" and parent.data.tags[TAG_DAGSTER_RUN] == tags[TAG_DAGSTER_RUN]


@each_asset
def test_mlflow_run_has_params_inputs_and_pictures(
    finished: Workspace, client: MlflowClient, asset_id: AssetId
) -> None:
    wanted, run = entry_of(finished, asset_id).materialization.wanted, run_of(finished, client, asset_id)
    sections = {name.split(".")[0] for name in run.data.params}
    assert sections == {key.split(".")[0] for key, value in wanted.params.items() if value not in ({}, [])}
    told = [(i.dataset.name, {t.key: t.value for t in i.tags}) for i in run.inputs.dataset_inputs]
    inputs = {name: tags["editloom.sha256"] for name, tags in told if tags["mlflow.data.context"] == "input"}
    assert inputs == wanted.inputs
    measured_on = [name for name, tags in told if tags["mlflow.data.context"] == "evaluation"]
    assert bool(measured_on) == (asset_id.asset == "attribute_report")
    assert "seconds" in run.data.metrics
    pictures = client.list_artifacts(run.info.run_id, "images")
    assert bool(pictures) == (asset_id.asset in PICTURED)


def test_training_is_logged_by_step(finished: Workspace, client: MlflowClient) -> None:
    for asset in ("original_network", "feature_network", "attribute_editor"):
        asset_id = next(i for i in IDS if i.asset == asset)
        run = run_of(finished, client, asset_id)
        steps = [client.get_metric_history(run.info.run_id, name)[-1].step for name in run.data.metrics]
        assert max(steps) > 0, asset


def test_expectations_are_evidence_and_pass_in_dagster(finished: Workspace, instance: dg.DagsterInstance) -> None:
    for asset in ("images", "aligned_images", "attribute_images"):
        asset_id = next(i for i in IDS if i.asset == asset)
        document = json.loads((finished.root / asset_id.evidence_path / "checks.json").read_text())["expectations"]
        assert document["success"] is True and document["statistics"]["evaluated_expectations"] >= 15
        assert checks_of(instance, asset, "expectations")[0].passed
        assert not (finished.root / asset_id.path / "checks.json").exists()
    assert checks_of(instance, "judges", "lineage")[0].passed


def test_expectations_are_linked_from_mlflow(finished: Workspace, client: MlflowClient) -> None:
    run = run_of(finished, client, AssetId("images"))
    assert "evidence/checks.json" in [file.path for file in client.list_artifacts(run.info.run_id, "evidence")]


def test_each_editor_is_the_champion_by_a_decision_in_the_ledger(finished: Workspace, tmp_path: Path) -> None:
    tracker = open_tracker(finished)
    for attribute in finished.params().attributes:
        release = AssetId("attribute_release", attribute)
        made = entry_of(finished, release).materialization
        name = json.loads((finished.root / release.path / "release.json").read_text())["model"]
        found = registry.resolve(tracker, name, registry.CHAMPION)
        assert found is not None and found.run_id == made.mlflow_run
        assert found.tags["editloom.release"] == made.data_version
        assert registry.resolve(tracker, name, registry.CANDIDATE) is None
        decided = last_decision(finished.root, name)
        assert decided is not None and decided.decision.release == entry_of(finished, release).entry_hash
        assert found.tags["editloom.decision"] == decided.entry.entry_hash
        files = registry.download(tracker, found, tmp_path / attribute)
        editor = finished.payload("attribute_editor", attribute) / "editor.safetensors"
        assert (files / "editor.safetensors").read_bytes() == editor.read_bytes()


def test_nothing_is_left_open(finished: Workspace) -> None:
    assert chain.verify_chain(finished.root) == []
    assert journal.unfinished(finished.root) == []
    assert list((finished.root / STAGING).iterdir()) == []


def test_payloads_do_not_say_where_they_were_made(finished: Workspace, built_workspace: Path) -> None:
    place = str(built_workspace).encode()
    files = [file for i in IDS for file in (finished.root / i.path).rglob("*") if file.is_file()]
    assert files and not [file for file in files if place in file.read_bytes()]


def test_failed_check_blocks_and_publishes_nothing(
    baseline: Workspace, editloom: Editloom, change_params: Callable[..., None]
) -> None:
    before = [entry.seq for entry in ledger.entries(baseline.root, kind=ledger.MATERIALIZATION)]
    good = baseline.params_file.read_text()
    change_params(baseline, {"aligned_images.template": LOW_EYES})
    done = editloom(baseline, "run")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Check expectations failed: landmarks_inside" in done.stdout and "Nothing was published" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert [entry.seq for entry in ledger.entries(baseline.root, kind=ledger.MATERIALIZATION)] == before
    with baseline.dagster_instance() as instance:
        failed, passed = checks_of(instance, "aligned_images", "expectations")[:2]
        assert (failed.passed, failed.blocking, passed.passed) == (False, True, True)
    assert_told_as_failed(baseline)
    baseline.params_file.write_text(good)
    again = editloom(baseline, "run")
    assert again.returncode == 0 and "27 reused" in again.stdout, again.stdout


def assert_told_as_failed(ws: Workspace) -> None:
    """The attempt's MLflow run has failed, and bears the document that says why."""
    tracker = open_tracker(ws)
    query = f"tags.`{TAG_ASSET}` = 'aligned_images' and attributes.status = 'FAILED'"
    (run,) = tracker.client.search_runs([tracker.experiment_id], query)
    document = ws.mlflow_artifacts / run.info.run_id / "artifacts" / "evidence" / "checks.json"
    assert json.loads(document.read_text())["expectations"]["success"] is False
