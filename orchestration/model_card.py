"""A released version's model card: filled from the run, by the template in `mlflow/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2

from orchestration.card_data import card_data
from orchestration.report_tables import table
from orchestration.signing.registration import registered_run
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking.registry import describe_version
from orchestration.tracking.runs import TrackedRun, Tracker
from orchestration.workspace import Workspace

CARD_FILE = "card.md"
MAX_DESCRIPTION_CHARS = 5000
"""What MLflow's column for a version's description holds."""
TEMPLATE = "model_card.md.j2"


@dataclass(frozen=True)
class ReleaseFacts:
    """What a card speaks of: the ledger entry of a release, and the version that it was registered as."""

    entry: LedgerEntry
    model: str
    version: str | None


def render_card(ws: Workspace, release: ReleaseFacts, decision: Mapping[str, Any] | None) -> str:
    """The card in Markdown, every number read from what the release was made of; what is missing is said to be.

    `decision` is the gate's: `outcome`, `policy` (digest), `by`, `reason`, and `rules` with `rule`, `required`,
    `measured` and `passed` each; None before there is one. A template that cannot be filled is replaced by the one
    that comes with Editloom, and the card says so.
    """
    told = None if decision is None else {"by": "", "reason": "", "policy": "", "rules": (), **decision}
    known = {"decision": told, "release": release, "data": card_data(ws, release.entry)}
    try:
        return _render(ws.card_template.read_text(encoding="utf-8"), known)
    except (OSError, jinja2.TemplateError) as error:
        shipped = resources.files("orchestration") / "release_files" / TEMPLATE
        why = f"> Not by {ws.card_template.name} of this workspace, which cannot be filled: {error}.\n"
        return f"{_render(shipped.read_text(encoding='utf-8'), known)}\n{why}"


def publish_card(ws: Workspace, tracker: Tracker, release: ReleaseFacts, decision: Mapping[str, Any] | None) -> str:
    """Render the card, and put it on the version's page, among the run's artifacts (whole) and beside the evidence.

    May be told twice, and again once there is a decision. Raises ValueError for a release that no run registered.
    """
    made, run = release.entry.materialization, registered_run(ws.root, release.entry)
    if run is None or release.version is None:
        raise ValueError(f"{release.entry.subject} was registered by no run")
    card = render_card(ws, release, decision)
    path = ws.root / made.wanted.id.evidence_path / CARD_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(card, encoding="utf-8")
    TrackedRun(tracker.client, run).artifact(path)
    describe_version(tracker, release.model, release.version, shortened(card, run))
    return card


def shortened(card: str, run_id: str) -> str:
    """A card that MLflow's description holds: whole, or whole sections and lines, and where the rest stands."""
    if len(card) <= MAX_DESCRIPTION_CHARS:
        return card
    pointer = f"\n\n… The whole card is [{CARD_FILE}](#/runs/{run_id}/artifacts/{CARD_FILE}), an artifact of its run."
    kept = card[: MAX_DESCRIPTION_CHARS - len(pointer)]
    return kept[: kept.rfind("\n")].rstrip() + pointer


def _render(template: str, known: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"table": table, "map_rules": _rules}
    environment.filters["compact"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(template).render(**known)


def _rules(rules: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A decision's rules as rows of a table."""
    return [
        (str(r["rule"]), str(r["required"]), str(r["measured"]), {True: "yes", False: "**no**"}[bool(r["passed"])])
        for r in rules
    ]
