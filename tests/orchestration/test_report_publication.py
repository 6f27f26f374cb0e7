"""What a reviewer finds in MLflow: numbers by judge, tables, the held-out set, links, and the card."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.announcement import announcer
from orchestration.graph import AssetId
from orchestration.materialization_metadata import metadata_of
from orchestration.model_card import MAX_DESCRIPTION_CHARS, ReleaseFacts, render_card, shortened
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import TrackedRun, Tracker, open_tracker
from orchestration.tracking.links import DAGSTER_VARIABLE, MLFLOW_VARIABLE, remember_pages
from orchestration.tracking.reports import IMAGES_TABLE, METRICS_TABLE, SLICES_TABLE
from orchestration.workspace import Workspace
from tests.orchestration.published import ATTRIBUTE, chain, put

REPORT, RELEASE = AssetId("attribute_report", ATTRIBUTE), AssetId("attribute_release", ATTRIBUTE)
EDITOR = str(AssetId("attribute_editor", ATTRIBUTE))
MODEL = f"attribute_editor-{ATTRIBUTE}"
JUDGE = {"name": "attribute_eval", "digest": "ed8096ec08a8" + "0" * 52}


def metric(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    ends = None if value is None else {"low": value - 0.05, "high": value + 0.05, "level": 0.95, "method": "bootstrap"}
    return {
        "name": name, "value": value, "n": 40, "interval": ends, "unit": "share", "judge": JUDGE["name"],
        "judge_digest": JUDGE["digest"], "protocol": "share", "higher_is_better": True, "note": "", **more,
    }  # fmt: skip


METRICS = {
    "attribute": ATTRIBUTE,
    "images": 40,
    "subjects": 7,
    "judges": [JUDGE],
    "rows": [
        {"key": "editor", "title": "editor", "metrics": [
            metric("attribute_success", 0.875), metric("frechet_distance", None, note="too few images")]},
        {"key": "did_nothing", "title": "did nothing", "metrics": [metric("attribute_success", 0.125, interval=None)]},
    ],
    "slices": [
        {"dimension": "light", "label": "dark", "metric": metric("attribute_success", 0.625, n=21)},
        {"dimension": "light", "label": "bright", "metric": metric("attribute_success", 0.9375)},
    ],
}  # fmt: skip


def write_report(folder: Path) -> None:
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "report.html").write_text("<p>report</p>")
    (folder / "sheet.png").write_bytes(b"a picture")
    columns = {"sha256": ["a" * 64, "b" * 64], "subject": ["ada", "bo"], "source": ["x", "y"]}
    measures = {"editor.probability": [0.25, float("nan")], "did_nothing.probability": [0.0, 0.0]}
    pq.write_table(pa.table({**columns, **measures}), folder / "per_image.parquet")


class Published:
    """A lineage with a report and a release of it, each told to MLflow twice."""

    def __init__(self, ws: Workspace) -> None:
        self.ws, self.tracker, self.inputs = ws, open_tracker(ws), chain(ws)
        self.report_run, self.release_run = (self._run(asset) for asset in (REPORT, RELEASE))
        made = put(ws, REPORT, self.inputs, write_report, mlflow_run=self.report_run.run_id, dagster_run="d" * 8)
        evidence = ws.root / REPORT.evidence_path
        evidence.mkdir(parents=True)
        (evidence / "checks.json").write_text(json.dumps({"independence": {"found": []}}))
        release = {"model": MODEL, "asset": "attribute_editor", "model_version": self.inputs[EDITOR], "report": made}

        def write_release(folder: Path) -> None:
            (folder / "release.json").write_text(json.dumps(release))
            (folder / "alignment.json").write_text('{"size_px": 64, "left_eye": [0.37, 0.46]}')

        given = {str(REPORT): made, EDITOR: self.inputs[EDITOR], "aligned_images": self.inputs["aligned_images"]}
        put(ws, RELEASE, given, write_release, mlflow_run=self.release_run.run_id, dagster_run="d" * 8)
        for entry in (self.entry(REPORT), self.entry(RELEASE)) * 2:
            announcer(ws)(entry)

    def entry(self, asset: AssetId) -> LedgerEntry:
        found = ledger.last_entry(self.ws.root, asset.asset, asset.partition)
        assert found is not None
        return found

    def _run(self, asset: AssetId) -> TrackedRun:
        name = str(uuid.uuid4())
        return self.tracker.asset_run(name, self.tracker.parent_run(name, "test"), asset.asset, asset.partition)

    def artifacts(self, run: TrackedRun, folder: str | None = None) -> set[str]:
        return {file.path for file in self.tracker.client.list_artifacts(run.run_id, folder)}


@pytest.fixture(scope="module")
def published(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    import shutil

    root = tmp_path_factory.mktemp("published") / "ws"
    shutil.copytree(empty_workspace, root, symlinks=True)
    return Published(Workspace.at(root))


def table(tracker: Tracker, run: TrackedRun, name: str, folder: Path) -> list[dict[str, Any]]:
    found = json.loads(Path(tracker.client.download_artifacts(run.run_id, name, str(folder))).read_text())
    return [dict(zip(found["columns"], line, strict=True)) for line in found["data"]]


def test_metrics_bear_their_judge_and_sanity_rows_their_name(published: Published) -> None:
    logged = published.report_run.client.get_run(published.report_run.run_id).data.metrics
    assert logged == {
        "attribute_success/attribute_eval": 0.875,
        "attribute_success/attribute_eval/low": pytest.approx(0.825),
        "attribute_success/attribute_eval/high": pytest.approx(0.925),
        "did_nothing/attribute_success/attribute_eval": 0.125,
    }


def test_telling_twice_changes_no_history_and_no_table(published: Published, tmp_path: Path) -> None:
    run, client = published.report_run, published.tracker.client
    assert len(client.get_metric_history(run.run_id, "attribute_success/attribute_eval")) == 1
    lines = table(published.tracker, run, METRICS_TABLE, tmp_path)
    assert [(line["row"], line["metric"], line["value"]) for line in lines] == [
        ("editor", "attribute_success", 0.875),
        ("editor", "frechet_distance", None),
        ("did_nothing", "attribute_success", 0.125),
    ]
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 1


def test_tables_stand_in_the_evaluation_view(published: Published, tmp_path: Path) -> None:
    tags = published.tracker.client.get_run(published.report_run.run_id).data.tags
    shown = {one["path"] for one in json.loads(tags["mlflow.loggedArtifacts"])}
    assert shown == {METRICS_TABLE, SLICES_TABLE, IMAGES_TABLE}
    images = table(published.tracker, published.report_run, IMAGES_TABLE, tmp_path)
    assert [(one["subject"], one["probability"]) for one in images] == [("ada", 0.25), ("bo", None)]
    slices = table(published.tracker, published.report_run, SLICES_TABLE, tmp_path)
    assert (slices[0]["slice"], slices[0]["value"], slices[0]["n"]) == ("dark", 0.625, 21)


def test_report_files_and_held_out_set_stand_with_the_run(published: Published) -> None:
    files = published.artifacts(published.report_run, "report")
    assert files == {"report/metrics.json", "report/per_image.parquet", "report/report.html", "report/sheet.png"}
    (used,) = published.tracker.client.get_run(published.report_run.run_id).inputs.dataset_inputs
    assert {tag.key: tag.value for tag in used.tags}["mlflow.data.context"] == "evaluation"
    assert json.loads(used.dataset.profile)["images"] == 2 and len(used.dataset.digest) == 36
    source = mlflow.data.get_source(used)
    assert source.uri == "artifacts/aligned_images"


def test_version_leads_to_dagster_dvc_ledger_and_judges(published: Published) -> None:
    (version,) = published.tracker.client.search_model_versions(f"name = '{MODEL}'")
    made, editor = published.entry(RELEASE), published.entry(AssetId.parse(EDITOR)).materialization
    assert version.tags["editloom.dagster_asset_url"].endswith(
        f"/assets/{RELEASE.asset}?view=partitions&partition=beard"
    )
    assert version.tags["editloom.dagster_run_url"].endswith("/runs/dddddddd")
    assert version.tags["editloom.dvc_md5"] == made.materialization.dvc_md5
    assert version.tags["editloom.model_dvc_md5"] == editor.dvc_md5
    assert version.tags["editloom.ledger_entry"] == str(made.seq)
    assert version.tags["editloom.data.images"] == published.entry(AssetId("images")).materialization.data_version
    assert version.tags["editloom.judge.attribute_eval"] == JUDGE["digest"]
    assert (
        "in Dagster](http"
        in published.tracker.client.get_run(made.materialization.mlflow_run).data.tags["mlflow.note.content"]
    )


def test_card_on_the_version_is_filled_from_the_report(published: Published) -> None:
    (version,) = published.tracker.client.search_model_versions(f"name = '{MODEL}'")
    card = version.description
    assert "| attribute_success | 87.5 % [82.5, 92.5] | 12.5 % | attribute_eval |" in card
    assert "- frechet_distance: too few images" in card
    assert "| attribute_success | light: dark | 62.5 % [57.5, 67.5] | 21 |" in card
    assert "40 held-out images of 7 subjects. By lineage, no judge below shares" in card
    assert "| attribute_eval | `ed8096ec08a8` | rendered subjects [2,000,000, 2,002,500) |" in card
    assert "CC0-1.0 (20) | granted (20)" in card and "None yet: no gate has decided" in card
    assert f"`{published.entry(AssetId('images')).materialization.dvc_md5}`" in card
    assert f"get-artifact?path=report%2Fsheet.png&run_uuid={published.report_run.run_id}" in card
    assert f"(#/runs/{published.report_run.run_id})" in card and "/assets/attribute_release?view=partitions" in card
    assert "card.md" in published.artifacts(published.release_run) and "Missing when" not in card


def test_card_says_the_decision_and_what_is_missing(published: Published, tmp_path: Path) -> None:
    ws = published.ws
    manifest = ws.root / "artifacts" / "images" / "manifest.parquet"
    entry = published.entry(AssetId("images")).materialization
    cached = next((ws.root / ".dvc" / "cache" / "files" / "md5").glob(f"{entry.dvc_md5[:2]}/{entry.dvc_md5[2:]}"))
    listing = cached.read_bytes()
    kept = manifest.read_bytes()
    rule = {"rule": "attribute_success at least 0.9", "required": "0.9", "measured": "0.875", "passed": False}
    try:
        manifest.unlink()
        cached.unlink()
        facts = ReleaseFacts(published.entry(RELEASE), MODEL, "1")
        card = render_card(ws, facts, {"outcome": "refused", "policy": "ab" * 32, "rules": [rule]})
    finally:
        manifest.write_bytes(kept)
        cached.write_bytes(listing)
    assert "**refused**. Policy `abababababab`" in card
    assert "| attribute_success at least 0.9 | 0.9 | 0.875 | **no** |" in card
    assert "Missing when this card was written: manifest.parquet of images" in card


def test_template_that_cannot_be_filled_costs_no_release(published: Published) -> None:
    template = published.ws.card_template
    kept = template.read_text()
    try:
        template.write_text("{{ nothing.like.this }}")
        card = render_card(published.ws, ReleaseFacts(published.entry(RELEASE), MODEL, "1"), None)
    finally:
        template.write_text(kept)
    assert "87.5 %" in card and "cannot be filled" in card


def test_long_card_is_cut_at_a_line_and_leads_to_the_whole() -> None:
    card = "\n".join(f"| row {n} | {'x' * 40} |" for n in range(300))
    cut = shortened(card, "run1")
    assert len(cut) <= MAX_DESCRIPTION_CHARS and "(#/runs/run1/artifacts/card.md)" in cut
    assert cut.splitlines()[-3].endswith("x |")
    assert shortened("short", "run1") == "short"


def test_dagster_shows_the_tables_and_links_to_mlflow(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MLFLOW_VARIABLE, "http://mlflow.example/")
    facts = {"editor/attribute_success": 0.875, "did_nothing/attribute_success": 0.125, "mlflow_run": "abc"}
    shown = metadata_of(facts, None, published.ws, REPORT, False)
    assert "| attribute_success | 87.5 % [82.5, 92.5] | 12.5 % | attribute_eval |" in str(shown["metrics"].value)
    assert "light: dark" in str(shown["worst slices"].value)
    assert shown["mlflow"].value == "http://mlflow.example/#/runs/abc"
    assert "editor/attribute_success" in shown and "did_nothing/attribute_success" not in shown


def test_links_lead_to_where_the_pages_were_last_served(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.tracking.links import asset_url, mlflow_run_url

    assert asset_url(workspace, AssetId("judges")) == "http://127.0.0.1:3000/assets/judges"
    remember_pages(workspace, {"dagster": "http://127.0.0.1:3999", "mlflow": "http://127.0.0.1:5999"})
    assert asset_url(workspace, AssetId("judges")) == "http://127.0.0.1:3999/assets/judges"
    assert mlflow_run_url(workspace, "r") == "http://127.0.0.1:5999/#/runs/r"
    monkeypatch.setenv(DAGSTER_VARIABLE, "https://dagster.example")
    assert (
        asset_url(workspace, REPORT)
        == "https://dagster.example/assets/attribute_report?view=partitions&partition=beard"
    )
