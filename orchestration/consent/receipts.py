"""Signed receipts: what was withdrawn and when, what descends from it, and what was done, read off the ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.audit.descendants import Descendant
from orchestration.consent.naming import Named
from orchestration.consent.registry import State, consent_entries
from orchestration.consent.taint import taint_of
from orchestration.graph import AssetId
from orchestration.lineage import SHOWN_DIGITS
from orchestration.release.decisions import Decided, Decision
from orchestration.store import envelope, ledger
from orchestration.store.keys import signing_key
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

FOLDER = "receipts"
PREDICATE_TYPE = "urn:editloom:consent-receipt:v1"
_OTHER_CHARS = re.compile(r"[^A-Za-z0-9._-]+")
Document = dict[str, Any]


@dataclass(frozen=True)
class _Known:
    """Everything in the ledger that concerns an image or a subject."""

    changes: Sequence[State]
    reached: Sequence[Descendant]
    decided: Sequence[Decided]
    made_again: Sequence[LedgerEntry]
    still: Sequence[LedgerEntry]
    purged: Sequence[LedgerEntry]


def write_receipt(ws: Workspace, named: Named, out: Path | None = None) -> Path:
    """Sign a receipt and write it, by default into `.editloom/receipts/`; returns the file.

    JSON: `summary`, the sentences for a person, and `envelope`, a DSSE envelope whose payload says the same with the
    entries that prove it. Raises UserError without a signing key.
    """
    document = receipt_document(ws, named)
    digests = {"sha256": named.image} if named.image else envelope.digests_of(document)
    name = named.image or f"subject:{named.subject}"
    statement = {
        "_type": envelope.STATEMENT_TYPE,
        "subject": [{"name": name, "digest": dict(digests)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }
    payload = envelope.canonical(statement).encode()
    signed = envelope.envelope(payload, envelope.sign(payload, signing_key(ws.root)))
    target = out or ws.state / FOLDER / f"{_slug(named)}-{document['head']['seq']}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.part")
    fresh.write_text(json.dumps({"summary": document["sentences"], "envelope": signed}, indent=1) + "\n")
    fresh.replace(target)
    return target


def receipt_document(ws: Workspace, named: Named) -> Document:
    """What a receipt says: a function of the ledger and of the manifests that still stand."""
    known, head = _known(ws, named), ledger.head(ws.root)
    return {
        "image": named.image,
        "subject": named.subject,
        "images": list(named.hashes),
        "changes": [{**s.change.model_dump(mode="json", exclude={"images"}), **_at(s.entry)} for s in known.changes],
        "descendants": [{**_made(d.entry), "how": d.how, "via": list(d.via)} for d in known.reached],
        "decisions": [_decision(one) for one in known.decided],
        "made_again": [_made(entry) for entry in known.made_again],
        "still_descends": [_made(entry) for entry in known.still],
        "purged": [{**entry.body, **_at(entry)} for entry in known.purged],
        "sentences": list(_sentences(named, known)),
        "head": asdict(head) if head else {"seq": 0, "entry_hash": ""},
    }


def _known(ws: Workspace, named: Named) -> _Known:
    hashes, reached = set(named.hashes), taint_of(ws, named.holdings).reached
    changes = [s for s in consent_entries(ws.root) if _concerns(s, named)]
    first = next((s.entry.seq for s in changes if s.withdrawn), 0)
    entries = {one.entry.entry_hash for one in reached}
    decided = [
        Decided(entry, Decision.model_validate(entry.body))
        for entry in ledger.entries(ws.root, kind=ledger.DECISION)
        if entry.seq > first > 0 and entry.body["outcome"] == "withdrawn" and entry.body["release"] in entries
    ]
    again, still = _since(ws, reached, first)
    purges = ledger.entries(ws.root, kind=ledger.PURGE)
    purged = [e for e in purges if hashes.intersection(e.body["images"]) or _same(e.body["subject"], named.subject)]
    return _Known(changes, reached, decided, again, still, purged)


def _since(ws: Workspace, reached: Iterable[Descendant], first: int) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
    """Of each asset that it reached: the newest version, where that was made since without it, and where it was not."""
    known = {one.entry.entry_hash for one in reached}
    again, still = [], []
    for subject in dict.fromkeys(one.entry.subject for one in reached):
        asset_id = AssetId.parse(subject)
        last = ledger.last_entry(ws.root, asset_id.asset, asset_id.partition)
        if last is not None and last.entry_hash in known:
            still.append(last)
        elif last is not None and last.seq > first > 0:
            again.append(last)
    return again, still


def _concerns(state: State, named: Named) -> bool:
    if named.subject is not None:
        return state.change.subject == named.subject
    return not set(named.hashes).isdisjoint(state.change.images)


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def _sentences(named: Named, known: _Known) -> Iterable[str]:
    for state in known.changes:
        change = state.change
        at = change.time or state.entry.at[:19]
        said = f"consent to {named.text} was {change.state} by {change.by} ({change.reason})"
        yield f"{at}: {said}, entry {state.entry.seq}."
    counts = {how: sum(one.how == how for one in known.reached) for how in ("holds", "exposed", "measured")}
    yield (
        f"{counts['holds']} versions of image sets held it, {counts['exposed']} networks, sets of pairs, editors, "
        f"reports and releases descend from it, {counts['measured']} only measured on it."
    )
    for one in known.decided:
        yield f"{one.entry.at[:19]}: {one.decision.model}: {one.decision.sentence}, entry {one.entry.seq}."
    yield from _rebuilt(known)
    for entry in known.purged:
        removed, others = len(entry.body["removed"]), entry.body["other_images"]
        yield (
            f"{entry.at[:19]}: {removed} files and objects that showed it were removed by {entry.body['by']} "
            f"({entry.body['reason']}), entry {entry.seq}; {others} other images of old versions went with them. "
            "Digests stay in the ledger and in manifests; networks are weights and hold no picture."
        )


def _rebuilt(known: _Known) -> Iterable[str]:
    if known.made_again:
        names = ", ".join(f"{e.subject} {e.body['data_version'][:SHOWN_DIGITS]}" for e in known.made_again)
        yield f"Made again without it: {names}."
    if known.still:
        yield f"Not made again yet: {', '.join(entry.subject for entry in known.still)}."


def _made(entry: LedgerEntry) -> Document:
    return {"asset": entry.subject, "version": entry.body["data_version"], **_at(entry)}


def _decision(one: Decided) -> Document:
    said = one.decision.model_dump(mode="json", include={"model", "tainted", "before", "after", "reason"})
    return {**said, **_at(one.entry)}


def _at(entry: LedgerEntry) -> Mapping[str, Any]:
    return {"at": entry.at, "seq": entry.seq, "entry": entry.entry_hash}


def _slug(named: Named) -> str:
    text = named.image[:SHOWN_DIGITS] if named.image else f"subject-{named.subject}"
    return _OTHER_CHARS.sub("-", text)
