"""Decisions written by hand, for payloads that were: without one, a release waits for its gate."""

from __future__ import annotations

from importlib import resources

from orchestration.graph import GRAPH, AssetId
from orchestration.release.decisions import Decided, Decision, gate_key, record, standing
from orchestration.store import ledger
from orchestration.workspace import Workspace


def write_policy(ws: Workspace) -> None:
    """Give a workspace that was not made by `editloom new` the smoke preset's policy."""
    ws.policy.parent.mkdir(exist_ok=True)
    ws.policy.write_bytes((resources.files("orchestration") / "release_files" / "smoke.policy.yaml").read_bytes())


def decide_by_hand(ws: Workspace, asset_id: AssetId) -> Decided | None:
    """Let the last release of an asset pass as version 1; nothing for an asset that no gate decides on."""
    entry = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
    if not GRAPH[asset_id.asset].gated or entry is None:
        return None
    model = ws.params().attribute_release.model_name(str(asset_id.partition))
    before = standing(ws.root, model)
    decision = Decision(
        outcome="passed", model=model, version="1", asset=str(asset_id), made_by=f"attribute_editor[{model}]",
        release=entry.entry_hash, editor="", before=before, after=before.promoted("1"), policy="",
    )  # fmt: skip
    return record(ws.root, decision, gate_key(entry))
