"""The gate of releases: candidate and champion measured anew, held against the policy, decided once, in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from data import fail_points
from data.errors import UserError
from evaluation.edit_report import EditReport
from evaluation.gate import CheckFact, decide
from evaluation.gate_policy import ModelPolicy
from orchestration.consent.taint import exposure_of
from orchestration.graph import AssetId
from orchestration.independence import HELD_OUT, INDEPENDENCE, JUDGES, independence_of
from orchestration.measuring import REPORT, measure_editor, report_seed
from orchestration.policy import policy_digest, policy_of
from orchestration.release.aliases import follow, moved, settle
from orchestration.release.decisions import Decided, Decision, Standing, gate_decision, gate_key, record, standing
from orchestration.release.evidence import Evidence, publish_decision, write_evidence
from orchestration.signing.registration import registered_run
from orchestration.step import CheckOutcome, Published
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking import Tracker, open_tracker
from orchestration.tracking.model_spec import fetched
from orchestration.tracking.registry import ModelVersion
from orchestration.tracking.reports import read_report
from orchestration.workspace import Workspace

EDITOR, RELEASE, GATE = "attribute_editor", "attribute_release", "gate"
CONSENT = "consent"
Measure = Callable[[Path], EditReport]
"""Measures the editor whose files stand in a directory: the same images, judges and seeds each time."""


@dataclass(frozen=True)
class Release:
    """A release that was published: its ledger entry, the registered model's name, and the attribute."""

    entry: LedgerEntry
    model: str
    attribute: str

    @property
    def inputs(self) -> Mapping[str, str]:
        """The data versions that the release was made from, by id."""
        return self.entry.materialization.wanted.inputs

    @property
    def editor(self) -> AssetId:
        """What made the model."""
        return AssetId(EDITOR, self.attribute)


def attribute_gate(published: Published) -> CheckOutcome:
    """Decide on a published release of an attribute's editor, unless that was done; the check says what was decided."""
    ws, params = published.ws, published.params
    attribute = str(published.id.partition)
    release = Release(published.entry, params.attribute_release.model_name(attribute), attribute)
    measure = partial(
        measure_editor,
        judges_dir=ws.payload(JUDGES),
        aligned_dir=ws.payload(HELD_OUT),
        attribute=attribute,
        section=params.attribute_report,
        seed=report_seed(params, attribute),
        device=torch.device(published.lease.accelerator),
    )
    decided = decide_release(ws, open_tracker(ws), release, measure, {"report": report_seed(params, attribute)})
    decision = decided.decision
    document = {"ledger_entry": decided.entry.seq, **decision.model_dump(mode="json")}
    return CheckOutcome(GATE, not decision.refused, decision.sentence, document)


def decide_release(
    ws: Workspace, tracker: Tracker, release: Release, measure: Measure, seeds: Mapping[str, int] | None = None
) -> Decided:
    """Measure the release's version and the champion, decide by the policy, record, and let the aliases follow.

    A release is decided once: asked again, this returns what was decided. Raises UserError when the version is not
    registered yet, the policy cannot be read, or somebody decided while this was measuring.
    """
    settle(ws, tracker, release.model)
    known = gate_decision(ws.root, release.entry)
    if known is not None:
        return known
    version, before = _registered(ws, tracker, release), standing(ws.root, release.model)
    policy, digest = policy_of(ws.policy, EDITOR), policy_digest(ws.policy)
    champion = _version(tracker, release.model, before.champion) if before.champion else None
    reports = [measure(fetched(ws, tracker, one)) for one in (version, champion) if one is not None]
    candidate, other = reports[0], reports[1] if len(reports) > 1 else None
    checks = _checks(ws, tracker, release, candidate, before, champion)
    # Whatever the policy asks for: nobody can switch this off.
    asked = policy.model_copy(update={"checks": tuple(dict.fromkeys((*policy.checks, CONSENT)))})
    found = decide(asked, candidate, other, checks)
    evidence = Evidence(release.entry, version, champion, candidate, other, found, _policy_record(policy))
    decision = Decision(
        outcome=found.outcome, model=release.model, version=version.version, asset=release.entry.subject,
        made_by=str(release.editor), release=release.entry.entry_hash, editor=release.inputs[str(release.editor)],
        before=before, after=before.promoted(version.version) if found.outcome == "passed" else before,
        policy=digest, judges={judge.name: judge.digest for judge in candidate.judges}, seeds=dict(seeds or {}),
        rules=tuple(rule.record() for rule in found.rules), summary=found.summary,
        evidence=write_evidence(ws, evidence), mlflow_run=version.run_id,
    )  # fmt: skip
    decided = record(ws.root, decision, gate_key(release.entry))
    fail_points.reach("decision-recorded")
    publish_decision(ws, tracker, decided)
    follow(tracker, decided)  # last: its mark says that the decision was told
    return decided


def _checks(
    ws: Workspace,
    tracker: Tracker,
    release: Release,
    candidate: EditReport,
    before: Standing,
    champion: ModelVersion | None,
) -> dict[str, CheckFact]:
    """The checks that a policy may ask for, and the one on consent, which is always asked for."""
    versions = {name: release.inputs[name] for name in (str(release.editor), JUDGES, HELD_OUT)}
    independent, withdrawn = independence_of(ws, versions), exposure_of(ws, release.inputs)
    away = moved(ws, tracker, release.model)
    if before.champion and champion is None:
        away = (*away, f"version {before.champion}, the champion, is not on the tracking server")
    hint = f"; `editloom release restore {release.model}` puts them back" if away else ""
    return {
        INDEPENDENCE: CheckFact(independent.passed, independent.summary),
        CONSENT: CheckFact(not withdrawn, "; ".join(withdrawn) or "no withdrawn image in the lineage"),
        "report_judges": _report_judges(ws, release, candidate),
        "aliases": CheckFact(not away, f"{'; '.join(away)}{hint}" if away else "where the last decision put them"),
    }


def _report_judges(ws: Workspace, release: Release, candidate: EditReport) -> CheckFact:
    """Whether the release's own report was made by the judges that measured now."""
    record = read_report(ws.payload(REPORT, release.attribute))
    if record is None:
        return CheckFact(False, "the release's report is missing")
    told = {one["name"]: one["digest"] for one in record.facts.get("judges", ())}
    other = [judge.name for judge in candidate.judges if told.get(judge.name) != judge.digest]
    return CheckFact(not other, f"other than the report's: {', '.join(other)}" if other else "those of the report")


def _registered(ws: Workspace, tracker: Tracker, release: Release) -> ModelVersion:
    run = registered_run(ws.root, release.entry)
    for found in tracker.client.search_model_versions(f"name = '{release.model}'"):
        if run is not None and found.run_id == run:
            return ModelVersion(release.model, str(found.version), "", run, dict(found.tags))
    raise UserError(
        f"{release.entry.subject} is published, but not registered as a version of {release.model}.",
        "Is the tracking server there? The same command registers it and asks the gate.",
    )


def _version(tracker: Tracker, model: str, number: str) -> ModelVersion | None:
    for found in tracker.client.search_model_versions(f"name = '{model}'"):
        if str(found.version) == number:
            return ModelVersion(model, number, "", str(found.run_id), dict(found.tags))
    return None


def _policy_record(policy: ModelPolicy) -> Mapping[str, object]:
    return policy.model_dump(mode="json", exclude_none=True)
