"""What a decision rests on, written down: decision.json, the comparison, the card, and MLflow's copies of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.comparison import compare_reports
from evaluation.comparison_page import ComparedPage, render_comparison
from evaluation.edit_report import EditReport
from evaluation.gate import Decision as Found
from orchestration.graph import AssetId
from orchestration.model_card import ReleaseFacts, publish_card
from orchestration.release.decisions import DECISION_FILE, EVIDENCE_FOLDER, Decided
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import TrackedRun, Tracker
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

COMPARISON_FILE = "comparison.html"


@dataclass(frozen=True)
class Evidence:
    """Everything that the gate saw: the versions, their reports, what was found, and the policy's rules."""

    entry: LedgerEntry
    version: ModelVersion
    champion: ModelVersion | None
    candidate_report: EditReport
    champion_report: EditReport | None
    found: Found
    policy: Mapping[str, object]


def write_evidence(ws: Workspace, evidence: Evidence) -> str:
    """Write decision.json, and the comparison with the champion, beside the release; returns decision.json's sha256."""
    folder = _folder(ws, evidence.entry.subject)
    content = json.dumps(_document(evidence), indent=1, sort_keys=True).encode()
    (folder / DECISION_FILE).write_bytes(content)
    (folder / COMPARISON_FILE).unlink(missing_ok=True)
    if evidence.champion is not None and evidence.champion_report is not None:
        reports = {
            f"champion ({evidence.champion.version})": evidence.champion_report,
            f"candidate ({evidence.version.version})": evidence.candidate_report,
        }
        page = ComparedPage(compare_reports(reports))
        (folder / COMPARISON_FILE).write_text(render_comparison(page), encoding="utf-8")
    return hashlib.sha256(content).hexdigest()


def publish_decision(ws: Workspace, tracker: Tracker, decided: Decided) -> None:
    """Copy the evidence to the version's run, and tell the decision on its card; may be told twice."""
    decision = decided.decision
    entry = next((e for e in ledger.entries(ws.root, decision.asset) if e.entry_hash == decision.release), None)
    if entry is None or not decision.mlflow_run:
        return
    folder, run = _folder(ws, decision.asset), TrackedRun(tracker.client, decision.mlflow_run)
    for name in (DECISION_FILE, COMPARISON_FILE):
        if (folder / name).exists() and _is_of(folder, decision.evidence):
            run.artifact(folder / name, EVIDENCE_FOLDER)
    publish_card(ws, tracker, ReleaseFacts(entry, decision.model, decision.version), decision.model_dump(mode="json"))


def _is_of(folder: Path, evidence: str) -> bool:
    """Whether the evidence in place is that of the decision: a later release may have replaced it."""
    return hashlib.sha256((folder / DECISION_FILE).read_bytes()).hexdigest() == evidence


def _folder(ws: Workspace, subject: str) -> Path:
    folder = ws.root / AssetId.parse(subject).evidence_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _document(evidence: Evidence) -> dict[str, Any]:
    found, report = evidence.found, evidence.candidate_report
    return {
        "outcome": found.outcome,
        "summary": found.summary,
        "rules": [rule.record() for rule in found.rules],
        "policy": evidence.policy,
        "release": {"asset": evidence.entry.subject, "ledger_entry": evidence.entry.entry_hash},
        "held_out": {"images": list(report.names), "subjects": len(set(report.subjects))},
        "judges": {judge.name: judge.digest for judge in report.judges},
        "candidate": _measured(evidence.version, report),
        "champion": None
        if evidence.champion_report is None
        else _measured(evidence.champion, evidence.champion_report),
    }


def _measured(version: ModelVersion | None, report: EditReport) -> dict[str, Any]:
    """A version and every metric of its editor."""
    about = {} if version is None else {"model": version.name, "version": version.version, "run": version.run_id}
    return {**about, "metrics": [metric.record() for metric in report.rows[0].metrics]}
