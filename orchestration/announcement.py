"""What follows a publication and may be told twice: MLflow's tags, a report's numbers, a release's registration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from data.whole_file import written_whole
from orchestration.graph import AssetId
from orchestration.lineage import Lineage, lineage_of, payload_file
from orchestration.model_card import ReleaseFacts, publish_card
from orchestration.signing.registration import register_signed
from orchestration.store.ledger import LedgerEntry
from orchestration.store.publish import OnPublished
from orchestration.store.records import Materialization
from orchestration.tracking import TrackedRun, Tracker, open_tracker
from orchestration.tracking.links import asset_url, dagster_run_url, dagster_url
from orchestration.tracking.reports import METRICS, publish_report, read_record
from orchestration.tracking.server import TrackingAwayError
from orchestration.tracking.spooled_run import run_told
from orchestration.workspace import Workspace

HELD_OUT = "aligned_images"
RELEASE_FILE = "release.json"
REGISTERED_FILE = "registered.json"
NOTE = "mlflow.note.content"
"""MLflow's tag whose Markdown it shows as the description of a run or an experiment."""


def announcer(ws: Workspace) -> OnPublished:
    """A listener for `publish` and `recover`: a publication cut off before it was told is told by the next run.

    What is told of it waits in the spool while the server is away; a release is registered by the server or not at all:
    then TrackingAwayError is raised, and the next run registers it.
    """

    def announce(entry: LedgerEntry) -> None:
        made = entry.materialization
        if made.mlflow_run is None and made.dagster_run is None:
            return  # published by hand: nobody was told that it began
        payload = ws.root / made.wanted.id.path
        release = (payload / RELEASE_FILE).exists()
        tracker = open_tracker(ws) if release else None
        run, at_work = run_told(ws, made.wanted.id, made.dagster_run, made.mlflow_run)
        run.tag({**_tags(ws, entry), NOTE: _note(ws, entry)})
        run.experiment_tag(NOTE, f"[Dagster's asset graph]({dagster_url(ws)})")
        publish_report(run, payload, str(made.wanted.id), AssetId(HELD_OUT).path.as_posix(), _at_ms(entry))
        registering = made.mlflow_run or (run.run_id if release else None)
        run.settle() if at_work else run.finish(succeeded=True)
        if tracker is not None:
            if registering is None:
                raise TrackingAwayError(ws.mlflow_uri, run.away)
            _register(ws, tracker, TrackedRun(tracker.client, registering), entry, payload)

    return announce


def _tags(ws: Workspace, entry: LedgerEntry) -> dict[str, str]:
    made = entry.materialization
    tags = {
        "editloom.data_version": made.data_version,
        "editloom.code_version": made.wanted.code_version,
        "editloom.git_commit": made.git_commit or "-",
        "editloom.ledger_entry": str(entry.seq),
        "editloom.dvc_md5": made.dvc_md5,
        "editloom.dagster_asset_url": asset_url(ws, made.wanted.id),
    }
    return tags | ({"editloom.dagster_run_url": dagster_run_url(ws, made.dagster_run)} if made.dagster_run else {})


def _note(ws: Workspace, entry: LedgerEntry) -> str:
    """A run's description: where its materialization stands in Dagster, DVC and the ledger."""
    made = entry.materialization
    links = [f"[{made.wanted.id} in Dagster]({asset_url(ws, made.wanted.id)})"]
    if made.dagster_run:
        links.append(f"[Dagster run {made.dagster_run[:8]}]({dagster_run_url(ws, made.dagster_run)})")
    facts = f"data version `{made.data_version}`, DVC `{made.dvc_md5}`, ledger entry {entry.seq}"
    return f"{' · '.join(links)}\n\n{facts}"


def _at_ms(entry: LedgerEntry) -> int:
    return round(datetime.fromisoformat(entry.at).timestamp() * 1000)


def _register(ws: Workspace, tracker: Tracker, run: TrackedRun, entry: LedgerEntry, payload: Path) -> None:
    """Sign and register a released model: its own files, those of the release that go with them, and its card."""
    made = entry.materialization
    release = json.loads((payload / RELEASE_FILE).read_text())
    model = AssetId(release["asset"], made.wanted.partition)
    lineage = lineage_of(ws.root, made.wanted.id, made.data_version)
    files = [*sorted((ws.root / model.path).iterdir()), *sorted(payload.iterdir())]
    tags = _version_tags(ws, entry, release, lineage) | {"editloom.mlflow_run": run.run_id}
    version = register_signed(ws, tracker, run, entry, release["model"], files, tags)
    publish_card(ws, tracker, ReleaseFacts(entry, release["model"], version), None)
    evidence = ws.root / made.wanted.id.evidence_path
    registered = {"model": release["model"], "model version": version}
    with written_whole(evidence / REGISTERED_FILE, durable=False) as part:
        part.write_text(json.dumps(registered))


def _version_tags(ws: Workspace, entry: LedgerEntry, release: Mapping[str, str], lineage: Lineage) -> dict[str, str]:
    """What leads from a registered version to its materialization, its bytes, its data and its judges."""
    made: Materialization = entry.materialization
    tags = _tags(ws, entry) | {
        "editloom.asset": str(made.wanted.id),
        "editloom.model": release["model_version"],
        "editloom.release": made.data_version,
        "editloom.dagster_run": made.dagster_run or "-",
    }
    model = lineage.made(release["asset"])
    if model is not None:
        tags |= {"editloom.model_dvc_md5": model.dvc_md5, "editloom.model_code_version": model.wanted.code_version}
    for name in ("images", "aligned_images", "attribute_images", "judges"):
        found = lineage.made(name)
        tags |= {f"editloom.data.{name}": found.data_version} if found else {}
    return tags | _judge_tags(ws, lineage, release["report"])


def _judge_tags(ws: Workspace, lineage: Lineage, report: str) -> dict[str, str]:
    """The judges of the release's report by name."""
    entry = next((e for e in lineage.entries.values() if e.body["data_version"] == report), None)
    path = payload_file(ws.root, entry, METRICS) if entry else None
    record = read_record(path) if path else None
    return {f"editloom.judge.{one['name']}": one["digest"] for one in record.facts.get("judges", ())} if record else {}
