"""Purge: a withdrawn image's bytes go from every place that is known here; its digests stay in the ledger."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from data.errors import UserError
from orchestration.audit.descendants import Descendant
from orchestration.audit.image_index import unreadable
from orchestration.consent import photographs, pictures, stored_objects
from orchestration.consent.naming import Named, named
from orchestration.consent.registry import State, consent_states
from orchestration.consent.removal import (
    CACHE,
    CHECKPOINTS,
    DAGSTER,
    EVIDENCE,
    INDEX,
    MLFLOW,
    PAYLOAD,
    REMOTE,
    PurgedVersion,
    PurgePlan,
    Removal,
)
from orchestration.consent.taint import taint_of
from orchestration.graph import AssetId
from orchestration.params import Params
from orchestration.remote.place import Place, open_places
from orchestration.run import exclusive
from orchestration.store import database, journal, ledger, staging
from orchestration.store.keys import signing_key
from orchestration.store.ledger import LedgerEntry
from orchestration.store.stat_cache import version_in_place
from orchestration.tracking.replay import require_sent
from orchestration.workspace import Workspace

INTENTS = "purges"


def plan_purge(ws: Workspace, known: Named, reason: str, by: str) -> PurgePlan:
    """List everything that shows a withdrawn image or subject; nothing is removed.

    Raises UserError when it is not withdrawn, when a payload in use still holds or shows it, and for a remote that
    does not answer.
    """
    params, places = ws.params(), open_places(ws.root)
    stored_objects.recall_manifests(ws, places)
    known = named(ws, known.image, known.subject)
    since = max(datetime.fromisoformat(state.entry.at) for state in _withdrawals(ws, known))
    reached = taint_of(ws, known.holdings).reached
    shown = [one for one in reached if _may_show(one)]
    _refuse_in_use(ws, params, shown)
    shards = stored_objects.shards_holding(ws, places, known.holdings)
    objects = {**stored_objects.pictures_showing(ws, places, shown), **shards.objects}
    in_use = stored_objects.current_objects(ws, params, places)
    entries = [one.entry for one in shown]
    removed = (
        *photographs.photographs(ws, params, set(known.hashes), known.subject),
        *_payloads(ws, params, entries),
        *stored_objects.removals(ws, places, {md5: name for md5, name in objects.items() if md5 not in in_use}),
        *pictures.evidence(ws, entries, since),
        *pictures.checkpoints(ws, (one.entry for one in reached), since),
        *pictures.indices(ws, (one.entry for one in reached if one.how == "holds")),
        *pictures.tracked(ws, entries),
        *pictures.previews(ws, entries),
    )
    unreachable = shards.other_images if any(one.md5 in shards.objects for one in removed) else 0
    return PurgePlan(
        id=uuid.uuid4().hex, image=known.image, subject=known.subject, images=known.hashes,
        versions=_versions(one.entry for one in reached if one.how == "holds"), removed=removed,
        other_images=unreachable, unexamined=_versions(unreadable(ws)), by=by, reason=reason,
    )  # fmt: skip


def purge_now(ws: Workspace, known: Named, reason: str, by: str, console: Console) -> PurgePlan:
    """Remove what `plan_purge` lists and say so in the ledger; a purge that a crash cut off is ended first.

    The list is written down before anything goes, the ledger's entry comes when all is gone; nothing left to remove
    makes no entry. Raises UserError as `plan_purge` does, before anything is removed.
    """
    for value, name in ((reason, "--reason"), (by, "--by")):
        if not value.strip():
            raise UserError(f"A purge needs {name}.", "It stands in the ledger: say why, and who says so.")
    with exclusive(ws, console):
        signing_key(ws.root)
        staging.sweep(ws.root, frozenset(ws.root / intent.staged for intent in journal.unfinished(ws.root)))
        for intent in sorted((ws.state / INTENTS).glob("*.json")):
            cut_off = PurgePlan.model_validate_json(intent.read_text())
            _carry_out(ws, cut_off, intent)
            console.print(f"A purge of {cut_off.is_of} that was cut off is ended.", highlight=False, markup=False)
        require_sent(ws)  # pictures on their way to MLflow are nowhere that a purge would look
        plan = plan_purge(ws, known, reason, by)
        if plan.removed:
            _carry_out(ws, plan, _write_down(ws, plan))
    return plan


def _carry_out(ws: Workspace, plan: PurgePlan, intent: Path) -> None:
    """Remove everything on a list, then record it and let the list go; each part may be done again."""
    places = {place.name: place for place in open_places(ws.root)}
    photographs.remove_photographs(ws, plan.removed)
    for one in plan.removed:
        _remove(ws, places, one)
    pictures.remove_tracked(ws, [one for one in plan.removed if one.where == MLFLOW])
    pictures.remove_previews(ws, [one for one in plan.removed if one.where == DAGSTER])
    _record(ws, plan)
    intent.unlink()


def _remove(ws: Workspace, places: dict[str, Place], one: Removal) -> None:
    if one.where == CACHE or one.where.startswith(REMOTE):
        stored_objects.remove_object(ws, places, one)
    elif one.where in {PAYLOAD, CHECKPOINTS}:
        shutil.rmtree(ws.root / one.path, ignore_errors=True)
    elif one.where in {EVIDENCE, INDEX}:
        (ws.root / one.path).unlink(missing_ok=True)


def _write_down(ws: Workspace, plan: PurgePlan) -> Path:
    target = ws.state / INTENTS / f"{plan.id}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".part")
    fresh.write_text(plan.model_dump_json())
    fresh.replace(target)
    return target


def _record(ws: Workspace, plan: PurgePlan) -> LedgerEntry:
    """The ledger's entry, once."""
    key = f"purge/{plan.id}"
    digests = {"sha256": plan.image} if plan.image else None
    with database.writing(ws.root) as connection:
        known = ledger.entry_of_intent(connection, key)
        return known or ledger.append(ws.root, connection, ledger.PURGE, plan.is_of, plan.body, key, digests)


def _withdrawals(ws: Workspace, known: Named) -> list[State]:
    """The withdrawals that allow a purge; UserError when some image of it is not withheld."""
    states = consent_states(ws.root)
    gone = states.withheld
    subjects = {known.subject} if known.subject else {holding.subject for holding in known.holdings}
    withdrawn = known.subject in gone.subjects if known.subject else bool(gone.images.intersection(known.hashes))
    if not withdrawn and (known.subject or not gone.subjects.intersection(subjects)):
        how = f"--image {known.image}" if known.image else f"--subject {known.subject}"
        raise UserError(
            f"Consent to {known.text} is not withdrawn, and only what is withdrawn may be purged.",
            f"Withdraw it first: editloom consent withdraw {how} --reason …",
        )
    return states.withdrawals(known.hashes, {one for one in subjects if one is not None})


def _may_show(one: Descendant) -> bool:
    """Whether a version may hold the very picture: image sets, and what measures on them. Networks are weights."""
    return one.how == "holds" or stored_objects.is_measure(one.entry.subject)


def _refuse_in_use(ws: Workspace, params: Params, shown: Iterable[Descendant]) -> None:
    """Raises UserError for a declared asset whose payload, or last version, still shows it."""
    using = []
    for one in shown:
        made, version = AssetId.parse(one.entry.subject), one.entry.body["data_version"]
        last = ledger.last_entry(ws.root, made.asset, made.partition)
        # Of a report the entry counts, not the bytes: made again without the image it may come out the same.
        stands = last is not None and last.entry_hash == one.entry.entry_hash
        stands = stands or (one.how == "holds" and version_in_place(ws.root, made) == version)
        if _declared(params, made) and stands:
            using.append(one.entry.subject)
    if using:
        raise UserError(
            f"It still stands in what is in use: {', '.join(dict.fromkeys(using))}.",
            "Run `editloom run` first: it makes these again without it. Nothing was removed.",
        )


def _payloads(ws: Workspace, params: Params, entries: Sequence[LedgerEntry]) -> Iterable[Removal]:
    """Payloads that nobody declares any more go whole."""
    for entry in entries:
        made = AssetId.parse(entry.subject)
        if not _declared(params, made) and version_in_place(ws.root, made) == entry.body["data_version"]:
            yield Removal(where=PAYLOAD, path=made.path.as_posix())


def _declared(params: Params, made: AssetId) -> bool:
    return made.partition is None or made.partition in params.attributes


def _versions(entries: Iterable[LedgerEntry]) -> tuple[PurgedVersion, ...]:
    found = dict.fromkeys((entry.subject, str(entry.body["data_version"])) for entry in entries)
    return tuple(PurgedVersion(asset=subject, version=version) for subject, version in found)
