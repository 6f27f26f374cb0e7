"""What descends from withdrawn images: entries of the ledger, and versions of registered models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestration.audit.descendants import Descendant, descendants
from orchestration.audit.image_index import Holding, holdings, holdings_of_subject, unreadable
from orchestration.consent.registry import ConsentStates, State, consent_states
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import SHOWN_DIGITS, lineage_of_inputs
from orchestration.release.decisions import releases_of
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

_NOT_THE_MODEL = frozenset({"images", "judges", "reports", "releases"})


@dataclass(frozen=True)
class Taint:
    """Withdrawn images, where they lie, and everything that they reached."""

    holdings: tuple[Holding, ...]
    reached: tuple[Descendant, ...]
    states: ConsentStates

    @property
    def exposed(self) -> frozenset[str]:
        """The hashes of the entries that learned from such an image."""
        return frozenset(one.entry.entry_hash for one in self.reached if one.how == "exposed")

    def withdrawals(self) -> list[State]:
        """The withdrawals that any of it follows from, oldest first."""
        hashes = {one for h in self.holdings for one in (h.sha256, h.parent, h.source_sha256) if one is not None}
        return self.states.withdrawals(hashes, {h.subject for h in self.holdings})

    @property
    def reason(self) -> str:
        """The reasons that were given, each once."""
        return "; ".join(dict.fromkeys(state.change.reason for state in self.withdrawals()))


def current_taint(ws: Workspace) -> Taint:
    """Everything that descends from what is withdrawn now; cheap where nothing is."""
    states = consent_states(ws.root)
    gone = states.withheld
    if not gone:
        return Taint((), (), states)
    found = [*(holdings(ws, gone.images) if gone.images else ())]
    found += [holding for subject in sorted(gone.subjects) for holding in holdings_of_subject(ws, subject)]
    return taint_of(ws, found, states)


def taint_of(ws: Workspace, found: Iterable[Holding], states: ConsentStates | None = None) -> Taint:
    """Everything that descends from some images, withdrawn or not."""
    unique = {(holding.entry.seq, holding.sha256): holding for holding in found}
    held = tuple(unique[key] for key in sorted(unique))
    return Taint(held, tuple(descendants(ws, held)), states or consent_states(ws.root))


def tainted_versions(ws: Workspace, model: str, taint: Taint | None = None) -> tuple[str, ...]:
    """The versions of a registered model that descend from withdrawn images, newest first."""
    known = taint if taint is not None else current_taint(ws)
    if not known.exposed:
        return ()
    versions = releases_of(ws.root, model)
    found = [version for version, release in versions.items() if _model_is_exposed(ws, release, known)]
    return tuple(sorted(found, key=int, reverse=True))


def exposure_of(ws: Workspace, inputs: Mapping[str, str]) -> tuple[str, ...]:
    """Why what is made from `inputs` (data version by id) descends from withdrawn images; nothing if it does not.

    Sentences without a full stop. What cannot be looked into counts: its innocence cannot be shown. Raises UserError
    for a version that the ledger does not know.
    """
    known = current_taint(ws)
    if not known.states.withheld:
        return ()
    models = {name: version for name, version in inputs.items() if _is_model(name)}
    lineage = lineage_of_inputs(ws.root, models).entries.values()
    hashes, versions = {entry.entry_hash for entry in lineage}, {_version(entry) for entry in lineage}
    away = [e for e in unreadable(ws) if _version(e) in versions]
    said = [f"the manifest of {_name(entry)}, which stands upstream, is not here" for entry in away]
    if hashes & known.exposed:
        said += [
            f"{count} withdrawn image{'s' if count > 1 else ''} in {_name(entry)}"
            for entry, count in _counts(known.holdings)
            if _version(entry) in versions
        ]
    return tuple(said)


def model_inputs(release: LedgerEntry) -> Mapping[str, str]:
    """The inputs of a release that make up the model, without what it was measured with and on."""
    inputs: Mapping[str, str] = release.body["wanted"]["inputs"]
    return {name: version for name, version in inputs.items() if _is_model(name)}


def _model_is_exposed(ws: Workspace, release: LedgerEntry, known: Taint) -> bool:
    made = (ledger.makers(ws.root, name, version) for name, version in model_inputs(release).items())
    return any(entries[-1].entry_hash in known.exposed for entries in made if entries)


def _is_model(name: str) -> bool:
    asset = AssetId.parse(name).asset
    return asset in GRAPH and GRAPH[asset].group not in _NOT_THE_MODEL


def _counts(found: Sequence[Holding]) -> list[tuple[LedgerEntry, int]]:
    """How many of the images each version of an image set holds."""
    counts: dict[int, tuple[LedgerEntry, int]] = {}
    for holding in found:
        counts[holding.entry.seq] = (holding.entry, counts.get(holding.entry.seq, (holding.entry, 0))[1] + 1)
    return list(counts.values())


def _version(entry: LedgerEntry) -> tuple[str, str]:
    return entry.subject, str(entry.body["data_version"])


def _name(entry: LedgerEntry) -> str:
    return f"{entry.subject} {entry.body['data_version'][:SHOWN_DIGITS]}"
