"""What follows the decisions: the aliases on the tracking server, and the evidence that each decision rests on."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orchestration.graph import AssetId
from orchestration.release.aliases import moved
from orchestration.release.decisions import (
    CHAMPION,
    DECISION_FILE,
    EVIDENCE_FOLDER,
    PREVIOUS,
    Decided,
    Decision,
    last_decision,
)
from orchestration.store import ledger
from orchestration.tracking.runs import Tracker
from orchestration.verification.finding import Finding
from orchestration.verification.recorded import Recorded, Scope
from orchestration.workspace import Workspace


def check_aliases(ws: Workspace, tracker: Tracker, model: str) -> Iterator[Finding]:
    """Whether `champion` and `previous` stand where the last decision put them."""
    try:
        last, sentences = last_decision(ws.root, model), moved(ws, tracker, model)
    except ValueError as error:
        yield Finding(f"{model}'s aliases", "altered", f"its decisions cannot be read: {str(error).splitlines()[0]}")
        return
    for alias in (CHAMPION, PREVIOUS):
        name = f"{model}@{alias}"
        said = next((one for one in sentences if one.startswith(f"{name} ")), None)
        if said is not None:
            mend = f"`editloom release restore {model}` puts it back"
            yield Finding(name, "altered", f"{said.removeprefix(f'{name} ')}; {mend}")
        elif last is not None and (version := last.decision.after.aliases.get(alias)):
            yield Finding(name, "intact", f"version {version}, as entry {last.entry.seq} decided")


def check_copies(recorded: Recorded, scope: Scope, tracker: Tracker, model: str) -> Iterator[Finding]:
    """The evidence of each decision about a model, where the tracking server keeps it with the version's run."""
    seen = set()
    for one in _decided(recorded, scope):
        decision = one.decision
        key = (decision.mlflow_run, decision.evidence)
        if decision.model != model or key in seen or not all(key):
            continue
        seen.add(key)
        thing = f"{model}/{decision.version} {EVIDENCE_FOLDER}/{DECISION_FILE}"
        found = _copy(tracker, decision.mlflow_run)
        if found is None:
            yield Finding(thing, "absent", f"entry {one.entry.seq} rests on it, and its run has none")
        elif found == decision.evidence:
            yield Finding(thing, "intact", f"as entry {one.entry.seq} rests on it")
        else:
            yield Finding(thing, "altered", f"not the document that entry {one.entry.seq} rests on")


def check_evidence(root: Path, recorded: Recorded, scope: Scope) -> Iterator[Finding]:
    """The evidence beside each release: what its decision rests on. It stays where it was made."""
    known: dict[str, dict[str, int]] = {}
    for one in _decided(recorded, scope):
        if one.decision.evidence:
            known.setdefault(one.decision.asset, {})[one.decision.evidence] = one.entry.seq
    for asset, seqs in known.items():
        place = Path(AssetId.parse(asset).evidence_path, DECISION_FILE)
        if not (root / place).is_file():
            yield Finding(place.as_posix(), "absent", "evidence stays in the checkout that made it", excused=True)
            continue
        seq = seqs.get(_sha256(root / place))
        if seq is None:
            yield Finding(
                place.as_posix(), "altered", f"no decision rests on it; entry {max(seqs.values())} rests on another"
            )
        else:
            yield Finding(place.as_posix(), "intact", f"as entry {seq} rests on it")


def _decided(recorded: Recorded, scope: Scope) -> Iterator[Decided]:
    for entry in recorded.of_kind(ledger.DECISION):
        try:
            decision = Decision.model_validate(entry.body)
        except ValueError:
            continue  # told as altered already
        if scope.covers(recorded.by_hash.get(decision.release)):
            yield Decided(entry, decision)


def _copy(tracker: Tracker, run: str) -> str | None:
    """The sha256 of a run's decision.json; None when it has none."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as place:
        try:
            return _sha256(Path(tracker.client.download_artifacts(run, f"{EVIDENCE_FOLDER}/{DECISION_FILE}", place)))
        except (MlflowException, OSError):
            return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
