"""What there is to see of releases: aliases and versions from the tracking server, decisions from the ledger."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import UserError
from orchestration.release.aliases import moved
from orchestration.release.decisions import decisions, last_decision
from orchestration.tracking import Tracker, open_tracker
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class ModelView:
    """A registered model: versions, aliases, what was decided last, and what somebody moved since."""

    model: str
    versions: tuple[str, ...]
    aliases: Mapping[str, str]
    decided: str
    moved: tuple[str, ...]


def model_views(ws: Workspace) -> list[ModelView]:
    """Every registered model, by name."""
    tracker = open_tracker(ws)
    return [_view(ws, tracker, name) for name in sorted(_aliases(tracker))]


def model_view(ws: Workspace, model: str) -> ModelView:
    """One registered model; raises UserError that names the nearest one when there is none of this name."""
    tracker = open_tracker(ws)
    known = sorted(_aliases(tracker))
    if model not in known:
        close = difflib.get_close_matches(model, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known) or 'none yet'}."
        raise UserError(f"No model is registered as {model}.", hint)
    return _view(ws, tracker, model)


def decision_rows(ws: Workspace, model: str) -> list[tuple[str, str, str, str, str]]:
    """When, version, outcome, who, and what was decided: newest first."""
    rows = []
    for one in reversed(decisions(ws.root, model)):
        made = one.decision
        what = f"{made.sentence}{f' ({made.reason})' if made.reason else ''}"
        rows.append((one.entry.at[:19], made.version, made.outcome.replace("_", " "), made.by or "the gate", what))
    return rows


def _view(ws: Workspace, tracker: Tracker, model: str) -> ModelView:
    last = last_decision(ws.root, model)
    versions = sorted((str(v.version) for v in tracker.client.search_model_versions(f"name = '{model}'")), key=int)
    said = last.decision.sentence if last else "nothing was decided yet"
    return ModelView(model, tuple(versions), _aliases(tracker)[model], said, moved(ws, tracker, model))


def _aliases(tracker: Tracker) -> dict[str, dict[str, str]]:
    """Version by alias of every registered model."""
    return {
        model.name: {alias: str(version) for alias, version in model.aliases.items()}
        for model in tracker.client.search_registered_models(max_results=1000)
    }
