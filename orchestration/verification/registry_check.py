"""The registered models on the tracking server: their files, signatures and tags against the ledger."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from orchestration.release.aliases import TAG_DECISION
from orchestration.signing.model_signature import (
    SIGNATURE_FILE,
    SignatureState,
    check_folder,
    digests,
    file_sha256,
    signed_head,
)
from orchestration.signing.registration import Registration
from orchestration.store import ledger
from orchestration.store.keys import trusted_keys
from orchestration.tracking.registry import ModelVersion, download
from orchestration.tracking.runs import Tracker
from orchestration.tracking.server import TrackingAwayError, be_patient, reason, require_answer
from orchestration.verification.alias_check import check_aliases, check_copies
from orchestration.verification.finding import Finding
from orchestration.verification.ledger_check import Witness
from orchestration.verification.recorded import SHOWN_DIGITS, Recorded, Scope
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Registered

SQLITE = "sqlite:///"
MOST = 1000
Key = tuple[str, str, str]
"""Model, version, run: another server counts its versions from 1 too."""


@dataclass(frozen=True)
class Registry:
    """What was found on the tracking server, and what its versions know of the ledger."""

    findings: tuple[Finding, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    not_checked: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


def check_registry(ws: Workspace, recorded: Recorded, scope: Scope) -> Registry:
    """Everything that the tracking server has of this ledger's models; a server that is away is told, not raised."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = ws.mlflow_uri
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return Registry(not_checked=(f"registered models: this checkout has no tracking database ({uri})",))
    be_patient()
    try:
        require_answer(uri)
        return _Server(ws, recorded, scope, Tracker(MlflowClient(uri), "")).look()
    except (MlflowException, TrackingAwayError, OSError) as error:
        first = error.message if isinstance(error, TrackingAwayError) else reason(error)
        said = f"registered models: the tracking server {uri} cannot be asked ({first}); --offline leaves it out"
        return Registry(unreachable=(said,))


class _Server:
    def __init__(self, ws: Workspace, recorded: Recorded, scope: Scope, tracker: Tracker) -> None:
        self._ws, self._recorded, self._scope, self._tracker = ws, recorded, scope, tracker
        self._trusted = trusted_keys(ws.root)
        self._registered = _registrations(recorded)
        self._witnesses: list[Witness] = []

    def look(self) -> Registry:
        server = {model.name for model in self._tracker.client.search_registered_models(max_results=MOST)}
        own = self._own_models()
        findings = [finding for model in sorted(own) for finding in self._model(model)]
        others = sorted(server - own) if self._scope.keys is None else []
        said = f"models of which this ledger and params.yaml say nothing: {', '.join(others)}"
        return Registry(tuple(findings), tuple(self._witnesses), (said,) if others else ())

    def _own_models(self) -> set[str]:
        """The models that this ledger registered, or whose last decision it holds, or that params.yaml declares."""
        if self._scope.keys is not None:
            return {key[0] for key, known in self._registered.items() if self._covers(known)}
        told = {entry.subject for kind in (ledger.RELEASE, ledger.DECISION) for entry in self._recorded.of_kind(kind)}
        return told | _declared(self._ws)

    def _model(self, model: str) -> Iterator[Finding]:
        versions = list(self._tracker.client.search_model_versions(f"name = '{model}'"))
        for version in sorted(versions, key=lambda one: int(one.version)):
            yield from self._version(version)
        there = {(model, str(one.version), str(one.run_id)) for one in versions}
        for key, known in self._registered.items():
            if key[0] == model and key not in there and self._covers(known):
                yield Finding(f"{model}/{key[1]}", "absent", "the tracking server has no such version of that run")
        yield from check_aliases(self._ws, self._tracker, model)
        yield from check_copies(self._recorded, self._scope, self._tracker, model)

    def _version(self, version: Registered) -> Iterator[Finding]:
        name, number, run = str(version.name), str(version.version), str(version.run_id)
        known, thing = self._registered.get((name, number, run)), f"{name}/{number}"
        if self._scope.keys is not None and (known is None or not self._covers(known)):
            return
        if decision := version.tags.get(TAG_DECISION):
            said = f"version {number} of {name} follows the decision of entry {decision[:SHOWN_DIGITS]}"
            self._witnesses.append(Witness(said, decision))
        with tempfile.TemporaryDirectory() as place:
            folder = _fetched(self._tracker, ModelVersion(name, number, "", run, {}), Path(place))
            if folder is None:
                yield Finding(thing, "absent", f"its files are gone from run {run}")
                return
            state = check_folder(folder, self._trusted)
            self._note_head(folder, state, f"version {number} of {name}")
            yield _held(thing, folder, state, known)

    def _note_head(self, folder: Path, state: SignatureState, name: str) -> None:
        """Take down at which end of the ledger a version was signed; believed only where the signature is good."""
        head = signed_head(folder) if state.condition == "intact" else None
        if head is not None:
            said = f"{name} was signed at entry {head.seq}"
            self._witnesses.append(Witness(said, head.entry_hash, head.seq))

    def _covers(self, known: Registration) -> bool:
        return self._scope.covers(self._recorded.by_hash.get(known.release))


def _held(thing: str, folder: Path, state: SignatureState, known: Registration | None) -> Finding:
    """A version's files against the signature beside them and against what the ledger says was registered."""
    if known is not None and (differing := _differing(folder, known)):
        return Finding(thing, "altered", f"not the files that were registered: {differing}")
    if state.condition == "altered":
        return Finding(thing, "altered", state.sentence)
    if known is None:
        return Finding(thing, "altered", "no entry of this ledger registered it")
    if state.condition != "intact":
        return Finding(thing, "untrusted", state.sentence)
    return Finding(thing, "intact", f"{len(known.files)} files, as signed by {(state.keyid or '')[:SHOWN_DIGITS]}")


def _differing(folder: Path, known: Registration) -> str:
    found, signature = digests(folder), folder / SIGNATURE_FILE
    kinds: Mapping[str, list[str]] = {
        "altered": [name for name, sha256 in known.files.items() if found.get(name, sha256) != sha256],
        "missing": [name for name in known.files if name not in found],
        "added": [name for name in found if name not in known.files],
    }
    if not signature.is_file():
        kinds["missing"].append(SIGNATURE_FILE)
    elif file_sha256(signature) != known.signature:
        kinds["altered"].append(SIGNATURE_FILE)
    return "; ".join(f"{', '.join(sorted(names))} {kind}" for kind, names in kinds.items() if names)


def _fetched(tracker: Tracker, model: ModelVersion, place: Path) -> Path | None:
    from mlflow.exceptions import MlflowException

    try:
        folder = download(tracker, model, place)
    except (MlflowException, OSError):
        return None
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def _registrations(recorded: Recorded) -> dict[Key, Registration]:
    found = {}
    for entry in recorded.of_kind(ledger.RELEASE):
        try:
            known = Registration.model_validate(entry.body)
        except ValueError:
            continue  # told as altered already
        found[(entry.subject, known.version, known.mlflow_run)] = known
    return found


def _declared(ws: Workspace) -> set[str]:
    try:
        params = ws.params()
    except UserError:
        return set()
    return {params.attribute_release.model_name(attribute) for attribute in params.attributes}
