"""What of the ledger goes into a release's bundle: its whole lineage, what was decided, and whose consent changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.lineage import lineage_of_inputs
from orchestration.release.decisions import decisions
from orchestration.signing.registration import registration_of
from orchestration.store import keys, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.tracking.registry import ModelVersion
from orchestration.workspace import Workspace

FORMAT = "editloom-release-bundle/1"
IMAGE_SETS = ("images", "aligned_images", "attribute_images")


@dataclass(frozen=True)
class Excerpt:
    """The entries of a bundle. `release` is the release's materialization, `lineage` that and all it was made from."""

    model: ModelVersion
    release: LedgerEntry
    lineage: tuple[LedgerEntry, ...]
    others: tuple[LedgerEntry, ...]

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """All of them, in the ledger's order."""
        known = {entry.seq: entry for entry in (*self.lineage, *self.others)}
        return tuple(known[seq] for seq in sorted(known))

    @property
    def image_sets(self) -> tuple[LedgerEntry, ...]:
        """The entries of the image sets in the lineage, in the ledger's order."""
        sets = (e for e in self.lineage if AssetId.parse(e.subject).asset in IMAGE_SETS)
        return tuple(sorted(sets, key=lambda entry: entry.seq))


def excerpt_of(ws: Workspace, model: ModelVersion) -> Excerpt:
    """The entries about one registered version; raises UserError when this ledger did not register it."""
    known = registration_of(ws.root, model.name, model.version, model.run_id)
    found = ledger.entries_of_hash(ws.root, known[1].release) if known else []
    if known is None or not found:
        raise UserError(
            f"The ledger of this workspace knows nothing of the registration of {model.name} version {model.version}.",
            "Bring the ledger here first: `editloom pull`. A version from before releases were signed has to be "
            "released again.",
        )
    release = found[0]
    made_from = tuple(lineage_of_inputs(ws.root, release.materialization.wanted.inputs).entries.values())
    decided = [one.entry for one in decisions(ws.root, model.name) if one.decision.version == model.version]
    others = (known[0], *decided, *_reuses(ws.root, made_from), *_consents(ws, made_from))
    return Excerpt(model, release, (release, *made_from), others)


def excerpt_document(root: Path, excerpt: Excerpt, payloads: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The excerpt as JSON: the payload digest of every entry up to the last one shown, and the envelopes of those.

    The last one's signature covers the hash of the entry before it, and so the whole chain.
    """
    shown = excerpt.entries
    chain = [hashlib.sha256(entry.payload).hexdigest() for entry in ledger.entries(root) if entry.seq <= shown[-1].seq]
    return {
        "format": FORMAT,
        "model": {"name": excerpt.model.name, "version": excerpt.model.version},
        "payloads": {subject: list(names) for subject, names in payloads.items()},
        "chain": chain,
        "entries": [{"seq": entry.seq, "envelope": entry.envelope} for entry in shown],
    }


def signing_keys(root: Path, entries: Iterable[LedgerEntry]) -> dict[str, bytes]:
    """Public PEM by key id of the keys that signed the entries, as far as this checkout has them."""
    named = {str(one["keyid"]) for entry in entries for one in entry.signatures}
    known = {**keys.distributed_keys(root), **keys.trusted_keys(root)}
    return {keyid: pem for keyid, pem in known.items() if keyid in named}


def _version(entry: LedgerEntry) -> str:
    return str(entry.body["data_version"])


def _reuses(root: Path, lineage: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """For each entry that stands with other inputs than its own, the last one that says so."""
    found = []
    for entry in lineage:
        said = [e for e in ledger.entries(root, entry.subject, ledger.REUSE) if e.body["entry"] == entry.entry_hash]
        # The signed payload has the inputs that it was made from: `lineage_of` shows those that stand now.
        own = ledger.entries_of_hash(root, entry.entry_hash)[0].body["wanted"]["inputs"]
        if said and said[-1].body["inputs"] != own:
            found.append(said[-1])
    return found


def _consents(ws: Workspace, lineage: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """The changes of consent, and the purges, that speak of an image in the lineage's image sets.

    Where the manifest of one of them is gone, nobody can tell any more: then all are shown.
    """
    said = [entry for kind in (ledger.CONSENT, ledger.PURGE) for entry in ledger.entries(ws.root, kind=kind)]
    if not said:
        return []
    from orchestration.audit.image_index import holdings, holdings_of_subject, unreadable

    versions = {(entry.subject, _version(entry)) for entry in lineage}
    if any((entry.subject, _version(entry)) in versions for entry in unreadable(ws)):
        return said
    found = []
    for entry in said:
        subject = entry.body.get("subject")
        held = holdings_of_subject(ws, str(subject)) if subject else []
        held += holdings(ws, [str(image) for image in entry.body.get("images", ())])
        if any((one.entry.subject, _version(one.entry)) in versions for one in held):
            found.append(entry)
    return found
