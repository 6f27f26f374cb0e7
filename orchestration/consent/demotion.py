"""Models that descend from withdrawn images lose their aliases: a decision in the ledger, which the aliases follow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from data.errors import UserError
from orchestration.consent.registry import consent_entries
from orchestration.consent.taint import Taint, current_taint, model_inputs, tainted_versions
from orchestration.policy import policy_digest
from orchestration.release.aliases import follow
from orchestration.release.decisions import (
    Decided,
    Decision,
    decided_models,
    decisions,
    record,
    releases_of,
    standing,
    standing_without,
)
from orchestration.store import envelope
from orchestration.tracking import TrackingAwayError, open_tracker
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

WITHDRAWN = "withdrawn"
Warn = Callable[[str], None]


def demote_tainted(ws: Workspace, warn: Warn | None = None) -> list[Decided]:
    """Take the aliases from every tainted version of every model; what was decided stands already is not decided again.

    The champion falls back to the newest untainted version that once was one, or to none. A tracking server that is
    away holds up nothing: `warn` is told, and the aliases follow with the next run. May be called at any time.
    """
    taint = current_taint(ws)
    if not taint.exposed:
        return []
    made = [one for model in decided_models(ws.root) if (one := _decide(ws, model, taint)) is not None]
    if made:
        _follow(ws, made, warn)
    return made


def refuse_tainted(ws: Workspace, model: str, version: str) -> None:
    """Raises UserError when a version descends from withdrawn images: nobody may make it the champion."""
    if version in tainted_versions(ws, model):
        raise UserError(
            f"{model} version {version} descends from withdrawn images{_because(ws, model, version)}.",
            "`editloom run` makes a version without them.",
        )


def refuse_lost_champion(ws: Workspace, model: str, chosen: ModelVersion | None) -> None:
    """Raises UserError when the version that an alias led to descends from withdrawn images, or all that there were do.

    `chosen` is the champion, or else the candidate, or None without either. Without withdrawals this asks nothing.
    """
    tainted = tainted_versions(ws, model)
    if not tainted or (chosen is not None and chosen.version not in tainted):
        return
    now = standing(ws.root, model).champion
    if now is not None and now not in tainted:
        moved = f"The ledger's champion is version {now}: `editloom release restore {model}` puts the alias there."
        raise UserError(f"{model} version {chosen.version if chosen else ''} descends from withdrawn images.", moved)
    first, *others = tainted
    too = "".join(f"; version {version} too" for version in others)
    raise UserError(
        f"{model} has no champion: version {first} descends from withdrawn images{_because(ws, model, first)}{too}.",
        "`editloom run` makes a version without them; the gate then decides on it.",
    )


def _decide(ws: Workspace, model: str, taint: Taint) -> Decided | None:
    tainted = tainted_versions(ws, model, taint)
    history, before = decisions(ws.root, model), standing(ws.root, model)
    after = standing_without(history, before, tainted)
    known = next((one for one in reversed(history) if one.decision.outcome == WITHDRAWN), None)
    if not tainted or (after == before and known is not None and set(tainted) <= set(known.decision.tainted)):
        return None
    version = before.champion if before.champion in tainted else tainted[0]
    release = releases_of(ws.root, model)[version]
    (made_by, editor), *_ = model_inputs(release).items()
    decision = Decision(
        outcome="withdrawn", model=model, version=version, asset=release.subject, made_by=made_by,
        release=release.entry_hash, editor=editor, before=before, after=after, policy=policy_digest(ws.policy),
        tainted=tainted, by=_who(ws), reason=taint.reason,
    )  # fmt: skip
    consents = consent_entries(ws.root)
    told = envelope.canonical([consents[-1].entry.entry_hash, tainted, before.model_dump(mode="json")])
    return record(ws.root, decision, f"{WITHDRAWN}/{model}/{hashlib.sha256(told.encode()).hexdigest()}")


def _follow(ws: Workspace, made: Iterable[Decided], warn: Warn | None) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracker = open_tracker(ws)
        for one in made:
            follow(tracker, one)
    except (MlflowException, TrackingAwayError, OSError) as error:
        if warn is None:
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        warn(f"the tracking server does not answer ({first}): the aliases follow with the next `editloom run`")


def _because(ws: Workspace, model: str, version: str) -> str:
    """The reason of the withdrawal that took a version's alias, in brackets."""
    found = (one.decision for one in reversed(decisions(ws.root, model)) if version in one.decision.tainted)
    reason = next((decision.reason for decision in found if decision.reason), "")
    return f" ({reason})" if reason else ""


def _who(ws: Workspace) -> str:
    said = [state.change.by for state in consent_entries(ws.root) if state.withdrawn]
    return said[-1] if said else ""
