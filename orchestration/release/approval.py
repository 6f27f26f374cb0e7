"""What a person may decide: approve a version that awaits it, and go back to the champion before."""

from __future__ import annotations

from data.errors import UserError
from orchestration.consent.demotion import refuse_tainted
from orchestration.consent.taint import tainted_versions
from orchestration.graph import AssetId
from orchestration.policy import policy_digest, policy_of
from orchestration.release.aliases import follow
from orchestration.release.decisions import (
    Decided,
    Decision,
    before_champion,
    decisions,
    last_decision,
    record,
    standing,
)
from orchestration.release.evidence import publish_decision
from orchestration.tracking import Tracker
from orchestration.workspace import Workspace


def approve(ws: Workspace, tracker: Tracker, model: str, by: str, reason: str) -> Decided:
    """Make the version that awaits approval the champion.

    Raises UserError when none awaits it, when the policy asks for nobody or changed since, when the version descends
    from withdrawn images, and without name or reason.
    """
    _named(by, reason)
    last = _last_on_a_version(ws, model)
    if last is None or last.decision.outcome != "awaiting_approval":
        said = f"its last decision: {last.decision.sentence}" if last else "nothing was decided about it yet"
        raise UserError(f"No version of {model} awaits approval; {said}.", f"See `editloom release show {model}`.")
    if policy_of(ws.policy, AssetId.parse(last.decision.made_by).asset).approval != "person":
        raise UserError(f"{ws.policy} asks for no person.", "Run again: the gate then decides by itself.")
    if policy_digest(ws.policy) != last.decision.policy:
        raise UserError(f"{ws.policy} changed since {model} was measured.", "Run again, then approve what it says.")
    version, now = last.decision.version, standing(ws.root, model)
    refuse_tainted(ws, model, version)
    decision = last.decision.model_copy(
        update={"outcome": "approved", "before": now, "after": now.promoted(version), "by": by, "reason": reason}
    )
    return _decided(ws, tracker, decision, f"approve/{last.entry.entry_hash}")


def roll_back(ws: Workspace, tracker: Tracker, model: str, by: str = "", reason: str = "") -> Decided:
    """Make `previous` the champion again; the version that leaves keeps no alias.

    Raises UserError without one, and for one that descends from withdrawn images.
    """
    last = last_decision(ws.root, model)
    now = standing(ws.root, model)
    if last is None or now.champion is None or now.previous is None:
        raise UserError(f"{model} has no previous champion to go back to.", f"See `editloom release show {model}`.")
    refuse_tainted(ws, model, now.previous)
    earlier = before_champion(ws.root, model, now.previous)
    earlier = None if earlier in tainted_versions(ws, model) else earlier
    after = now.model_copy(update={"champion": now.previous, "previous": earlier})
    decision = Decision(
        outcome="rolled_back", model=model, version=now.champion, asset=last.decision.asset,
        made_by=last.decision.made_by, release="", editor="",
        before=now, after=after, policy=policy_digest(ws.policy), by=by, reason=reason,
    )  # fmt: skip
    return _decided(ws, tracker, decision, f"rollback/{last.entry.entry_hash}")


def _last_on_a_version(ws: Workspace, model: str) -> Decided | None:
    """The last decision but for withdrawals, which settle nothing about a version that awaits a person."""
    found = [one for one in decisions(ws.root, model) if one.decision.outcome != "withdrawn"]
    return found[-1] if found else None


def _decided(ws: Workspace, tracker: Tracker, decision: Decision, key: str) -> Decided:
    """The ledger first, after it the card, which says what was decided, then the aliases and their mark."""
    decided = record(ws.root, decision, key)
    publish_decision(ws, tracker, decided)
    follow(tracker, decided)
    return decided


def _named(by: str, reason: str) -> None:
    for value, name in ((by, "--by"), (reason, "--reason")):
        if not value.strip():
            raise UserError(f"An approval needs {name}.", "Say who approves, and why.")
