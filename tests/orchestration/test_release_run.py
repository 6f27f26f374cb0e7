"""`editloom run` and the gate: a refusal is a state of its own, told with its rule, and it stands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import dagster as dg

from orchestration.policy import policy_digest
from orchestration.release.decisions import last_decision, standing
from orchestration.store import chain, ledger
from orchestration.tracking import open_tracker
from orchestration.tracking.registry import CANDIDATE, CHAMPION, resolve
from orchestration.workspace import Workspace

Editloom = Callable[..., subprocess.CompletedProcess[str]]
ATTRIBUTE, MODEL = "beard", "attribute_editor-beard"
RUN = ("run", "--partition", ATTRIBUTE)


def test_refused_release_is_told_with_its_rule_and_stands(baseline: Workspace, editloom: Editloom) -> None:
    loose = baseline.policy.read_text()
    baseline.policy.write_text(loose.replace("psnr_outside, at_least: 5.0", "psnr_outside, at_least: 59.9"))
    assert "file:mlflow/policy.yaml changed" in editloom(baseline, "plan", "--partition", ATTRIBUTE).stdout
    refused = editloom(baseline, *RUN)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "1 refused" in refused.stdout and "below 59.90 dB" in refused.stdout and "Traceback" not in refused.stdout
    last = last_decision(baseline.root, MODEL)
    assert last is not None and last.decision.refused and last.decision.policy == policy_digest(baseline.policy)
    assert_the_check_failed_once(baseline)
    assert_aliases(baseline, champion="1", candidate="2")
    entries = len(ledger.entries(baseline.root))
    again = editloom(baseline, *RUN)
    assert again.returncode == 0 and "below 59.90 dB" in again.stdout  # nothing was measured; what was said is repeated
    assert {entry.kind for entry in ledger.entries(baseline.root)[entries:]} == {ledger.REUSE}
    assert chain.verify_chain(baseline.root) == []


def assert_the_check_failed_once(ws: Workspace) -> None:
    """Dagster shows a failed blocking check with the rules, of one attempt: a refusal is not tried again."""
    key = dg.AssetCheckKey(dg.AssetKey("attribute_release"), "gate")
    with ws.dagster_instance() as instance:
        found = instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
        refused = [one.event.dagster_event for one in found if one.event and one.event.dagster_event]
        results = [event.asset_check_evaluation_data for event in refused]
    failed = [one for one in results if not one.passed]
    assert len(failed) == 1 and failed[0].blocking and "59.90 dB" in str(failed[0].description)
    rules = json.loads(json.dumps(failed[0].metadata["result"].value))["rules"]
    assert {rule["passed"] for rule in rules} == {True, False}


def assert_aliases(ws: Workspace, champion: str, candidate: str) -> None:
    tracker = open_tracker(ws)
    found = {alias: resolve(tracker, MODEL, alias) for alias in (CHAMPION, CANDIDATE)}
    assert {alias: one.version for alias, one in found.items() if one} == {CHAMPION: champion, CANDIDATE: candidate}
    assert standing(ws.root, MODEL).champion == champion
