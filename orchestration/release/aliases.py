"""`champion` and `previous` follow the last decision in the ledger. Nothing else in the code moves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from data import fail_points
from orchestration.release.decisions import CHAMPION, PREVIOUS, PROMOTED, Decided, last_decision, standing
from orchestration.tracking.registry import CANDIDATE
from orchestration.tracking.runs import Tracker, open_tracker
from orchestration.tracking.server import TrackingAwayError
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

SETTLED = "settled"
TAG_DECISION, TAG_OUTCOME, TAG_POLICY = "editloom.decision", "editloom.outcome", "editloom.policy"


def settle(ws: Workspace, tracker: Tracker, model: str) -> Decided | None:
    """Let card and aliases follow the last decision where a crash came in between; returns that decision if it did.

    A decision that was followed leaves its mark on the version: an alias moved after that stays as somebody put it,
    and is reported.
    """
    last = last_decision(ws.root, model)
    if last is None or _mark(tracker, last) in {last.entry.entry_hash, None}:
        return None
    from orchestration.release.evidence import publish_decision

    publish_decision(ws, tracker, last)
    follow(tracker, last)
    return last


def settle_all(ws: Workspace, models: Iterable[str], warn: Callable[[str], None] | None = None) -> None:
    """Settle each model whose last decision this checkout has not seen followed; without one, no server is asked.

    A tracking server that is away holds up nothing: `warn` is told, and the aliases follow with the next run.
    """
    for model in models:
        last = last_decision(ws.root, model)
        seen = ws.state / SETTLED / last.entry.entry_hash if last else None
        if seen is not None and not seen.exists():
            try:
                settle(ws, open_tracker(ws), model)
            except TrackingAwayError as error:
                if warn is None:
                    raise
                warn(f"{error.message}: the aliases follow with the next `editloom run`")
                return
            seen.parent.mkdir(parents=True, exist_ok=True)
            seen.touch()


def follow(tracker: Tracker, decided: Decided) -> None:
    """Make MLflow's aliases and the version's tags what a decision says; may be told twice.

    A version that the server does not know is passed over. The mark of the decision comes last.
    """
    decision = decided.decision
    found = _registered(tracker, decision.model)
    if found is None:
        return
    if decision.after != decision.before:  # what somebody moved by hand is put back by `restore` alone
        put_back(tracker, decision.model, decision.after.aliases)
    fail_points.reach("champion-moved")
    leaves = {decision.version} if decision.outcome in PROMOTED else set(decision.tainted)
    if str(found.aliases.get(CANDIDATE)) in leaves:
        tracker.client.delete_registered_model_alias(decision.model, CANDIDATE)
    known = _versions(tracker, decision.model)
    for version in (v for v in decision.tainted if v != decision.version and v in known):
        tracker.client.set_model_version_tag(decision.model, version, TAG_OUTCOME, decision.outcome)
    tags = {TAG_OUTCOME: decision.outcome, TAG_POLICY: decision.policy, TAG_DECISION: decided.entry.entry_hash}
    if decision.version in known:
        for key, value in tags.items():
            tracker.client.set_model_version_tag(decision.model, decision.version, key, value)


def put_back(tracker: Tracker, model: str, aliases: Mapping[str, str]) -> None:
    """Point `champion` and `previous` at the versions named, and take away what nobody should bear."""
    found, known = _registered(tracker, model), _versions(tracker, model)
    now = {} if found is None else {alias: str(version) for alias, version in found.aliases.items()}
    for alias in (PREVIOUS, CHAMPION):
        version = aliases.get(alias)
        if version == now.get(alias):
            continue
        if version is None:
            tracker.client.delete_registered_model_alias(model, alias)
        elif version in known:
            tracker.client.set_registered_model_alias(model, alias, version)


def moved(ws: Workspace, tracker: Tracker, model: str) -> tuple[str, ...]:
    """A sentence for each alias that is not where the last decision put it."""
    found, wanted = _registered(tracker, model), standing(ws.root, model).aliases
    now = {} if found is None else {alias: str(version) for alias, version in found.aliases.items()}
    said = []
    for alias in (CHAMPION, PREVIOUS):
        is_at, belongs = now.get(alias), wanted.get(alias)
        if is_at != belongs:
            at = f"points at version {is_at}" if is_at else "is gone"
            should = f"version {belongs}" if belongs else "no version"
            said.append(f"{model}@{alias} {at}, the last decision says {should}: it was moved behind its back")
    return tuple(said)


def restore(ws: Workspace, tracker: Tracker, model: str) -> tuple[str, ...]:
    """Put the aliases back to the last decision; returns what had been moved."""
    found = moved(ws, tracker, model)
    put_back(tracker, model, standing(ws.root, model).aliases)
    return found


def _mark(tracker: Tracker, last: Decided) -> str | None:
    """The decision that the version's aliases last followed; None for a version that the server does not know."""
    decision = last.decision
    tags = _versions(tracker, decision.model).get(decision.version)
    return None if tags is None else tags.get(TAG_DECISION, "")


def _versions(tracker: Tracker, model: str) -> dict[str, Mapping[str, str]]:
    """The tags of each version of a model."""
    found = tracker.client.search_model_versions(f"name = '{model}'")
    return {str(version.version): dict(version.tags) for version in found}


def _registered(tracker: Tracker, model: str) -> RegisteredModel | None:
    found = list(tracker.client.search_registered_models(f"name = '{model}'"))
    return found[0] if found else None
