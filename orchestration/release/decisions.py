"""Decisions on releases: entries of the ledger, and what they say stands. The tracking server only follows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from data.errors import UserError
from orchestration.store import database, ledger
from orchestration.store.ledger import LedgerEntry

DECISION = ledger.DECISION
CHAMPION, PREVIOUS = "champion", "previous"
DECISION_FILE, EVIDENCE_FOLDER = "decision.json", "evidence"
"""What a decision rests on: this file beside the release, and in this folder of the version's run."""
Outcome = Literal["passed", "refused", "awaiting_approval", "approved", "rolled_back", "withdrawn"]
PROMOTED: tuple[Outcome, ...] = ("passed", "approved")


class Standing(BaseModel):
    """Which versions bear the aliases that only decisions move; None: nobody does."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    champion: str | None = None
    previous: str | None = None

    def promoted(self, version: str) -> Standing:
        """What stands once `version` is the champion; the champion that was one keeps `previous`."""
        if version == self.champion:
            return self
        return Standing(champion=version, previous=self.champion)

    @property
    def aliases(self) -> Mapping[str, str]:
        """Version by alias."""
        known = {CHAMPION: self.champion, PREVIOUS: self.previous}
        return {alias: version for alias, version in known.items() if version is not None}


class Decision(BaseModel):
    """The body of a ledger entry of kind `decision`; its subject is the registered model's name.

    `asset` is the release's id, `made_by` that of the asset that made the model. `release` is the entry hash of the
    release that was decided on, `editor` its model's data version. `evidence` is the sha256 of decision.json.
    `by` and `reason` are a person's; the gate leaves them empty. `tainted` are the versions that descend from withdrawn
    images, newest first, where that is why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    outcome: Outcome
    model: str
    version: str
    asset: str
    made_by: str
    release: str
    editor: str
    before: Standing
    after: Standing
    policy: str
    judges: Mapping[str, str] = {}
    seeds: Mapping[str, int] = {}
    rules: tuple[Mapping[str, JsonValue], ...] = ()
    summary: str = ""
    evidence: str = ""
    mlflow_run: str = ""
    by: str = ""
    reason: str = ""
    tainted: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the gate's rules did not hold."""
        return self.outcome == "refused"

    @property
    def sentence(self) -> str:
        """What was decided, in one sentence for a terminal."""
        said = {
            "passed": f"version {self.version} is the champion",
            "refused": f"refused: {self.summary}",
            "awaiting_approval": f"version {self.version} awaits a person: "
            f"editloom release approve {self.model} --by NAME --reason …",
            "approved": f"version {self.version} is the champion, approved by {self.by}",
            "rolled_back": f"rolled back to version {self.after.champion} by {self.by or 'an operator'}",
            "withdrawn": f"{_versions(self.tainted or (self.version,))} from withdrawn images; "
            + (f"version {self.after.champion} is the champion" if self.after.champion else "there is no champion"),
        }
        return said[self.outcome]


@dataclass(frozen=True)
class Decided:
    """A decision and the ledger entry that holds it."""

    entry: LedgerEntry
    decision: Decision


def decisions(root: Path, model: str) -> list[Decided]:
    """Every decision about a registered model, oldest first."""
    entries = (entry for entry in ledger.entries(root, model) if entry.kind == DECISION)
    return [Decided(entry, Decision.model_validate(entry.body)) for entry in entries]


def last_decision(root: Path, model: str) -> Decided | None:
    """The decision that stands, or None before there is one."""
    found = decisions(root, model)
    return found[-1] if found else None


def standing(root: Path, model: str) -> Standing:
    """Which versions are champion and previous by the last decision."""
    last = last_decision(root, model)
    return last.decision.after if last else Standing()


def gate_key(release: LedgerEntry) -> str:
    """Under this key the gate's decision on a release stands in the ledger, once."""
    return f"gate/{release.entry_hash}"


def gate_decision(root: Path, release: LedgerEntry) -> Decided | None:
    """What the gate decided on this very release, or None while it has not."""
    with database.reading(root) as connection:
        entry = ledger.entry_of_intent(connection, gate_key(release))
    return Decided(entry, Decision.model_validate(entry.body)) if entry else None


def record(root: Path, decision: Decision, key: str) -> Decided:
    """Write a decision into the ledger; the same `key` twice is one entry.

    Raises UserError when something else was decided since `decision.before` was read.
    """
    with database.writing(root) as connection:
        known = ledger.entry_of_intent(connection, key)
        if known is not None:
            return Decided(known, Decision.model_validate(known.body))
        if standing(root, decision.model) != decision.before:
            raise UserError(
                f"Another decision about {decision.model} was made in the meantime.", "Run the same command again."
            )
        entry = ledger.append(root, connection, DECISION, decision.model, decision.model_dump(mode="json"), key)
    return Decided(entry, decision)


def before_champion(root: Path, model: str, version: str) -> str | None:
    """The version that was `previous` when `version` last became the champion."""
    promotions = [d.decision for d in decisions(root, model) if d.decision.outcome in PROMOTED]
    return next((d.after.previous for d in reversed(promotions) if d.after.champion == version), None)


def standing_without(history: Sequence[Decided], now: Standing, tainted: Collection[str]) -> Standing:
    """What stands once no tainted version bears an alias any more.

    The champion falls back to the newest untainted version that once was one, `previous` to the one before it; a
    version that somebody rolled back from is no such one.
    """
    promoted: list[str] = []
    for decision in (decided.decision for decided in history):
        if decision.outcome in PROMOTED:
            promoted = [*(v for v in promoted if v != decision.version), decision.version]
        elif decision.outcome == "rolled_back":
            promoted = [v for v in promoted if v != decision.version]
    left = [version for version in promoted if version not in tainted]
    champion = now.champion if now.champion not in tainted else (left[-1] if left else None)
    if champion == now.champion and now.previous not in tainted:
        return now
    before = left[: left.index(champion)] if champion in left else left
    return Standing(champion=champion, previous=before[-1] if champion and before else None)


def releases_of(root: Path, model: str) -> dict[str, LedgerEntry]:
    """The release's materialization of each version of a registered model that was registered or decided on."""
    said = ledger.entries(root, model)
    told = {str(e.body["version"]): str(e.body["release"]) for e in said if e.kind == ledger.RELEASE}
    told |= {
        str(e.body["version"]): str(e.body["release"]) for e in said if e.kind == DECISION and e.body.get("release")
    }
    found = ((version, ledger.entries_of_hash(root, entry_hash)) for version, entry_hash in told.items())
    return {version: entries[0] for version, entries in found if entries}


def decided_models(root: Path) -> list[str]:
    """The registered models that the ledger speaks of, sorted."""
    return sorted({e.subject for kind in (DECISION, ledger.RELEASE) for e in ledger.entries(root, kind=kind)})


def _versions(numbers: Sequence[str]) -> str:
    one = len(numbers) == 1
    return f"version{'' if one else 's'} {', '.join(numbers)} descend{'s' if one else ''}"
