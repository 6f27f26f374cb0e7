"""Everything recomputed: ledger, payloads, dvc.lock, registered models, evidence."""

from __future__ import annotations

from collections.abc import Iterable

from data.errors import UserError
from orchestration.audit.targets import Target, resolve_target
from orchestration.lineage import lineage_of
from orchestration.store import database, journal, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.verification.alias_check import check_evidence
from orchestration.verification.finding import Verification
from orchestration.verification.ledger_check import check_end, check_ledger, witnesses_here
from orchestration.verification.lock_check import check_lock
from orchestration.verification.payload_check import PayloadCheck
from orchestration.verification.recorded import Scope, read_ledger
from orchestration.verification.registry_check import Registry, check_registry
from orchestration.verification.stored import Purges
from orchestration.workspace import Workspace


def verify(ws: Workspace, target: str | None = None, *, offline: bool = False) -> Verification:
    """Hold everything against the ledger, or, with a target, the versions that it was made from; the ledger always.

    `offline` leaves the tracking server out. Raises UserError without a ledger and for a target that is not known.
    """
    if not database.exists(ws.root):
        hint = "`editloom run` makes it, `editloom pull` brings one that was pushed."
        raise UserError(f"{ws.root} has no ledger: nothing was published here.", hint)
    recorded = read_ledger(ws.root)
    scope = _scope(ws, resolve_target(ws, target)) if target else Scope()
    left_out = Registry(not_checked=("registered models: --offline",))
    registry = left_out if offline else check_registry(ws, recorded, scope)
    purges = Purges.of(recorded.of_kind(ledger.PURGE))
    findings = (
        *check_ledger(ws.root, recorded),
        *check_end(recorded, [*registry.witnesses, *witnesses_here(ws.root, recorded)]),
        *PayloadCheck(ws.root, recorded, scope, purges).findings(),
        *check_lock(ws, recorded, scope),
        *check_evidence(ws.root, recorded, scope),
        *registry.findings,
    )
    return Verification(findings, recorded.head, (*registry.not_checked, *_pending(ws)), registry.unreachable)


def lineage_entries(ws: Workspace, entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """The materializations among these, and all that they were made from; raises UserError where one has no entry."""
    found: dict[int, LedgerEntry] = {}
    for entry in entries:
        made = entry.materialization
        found |= {one.seq: one for one in lineage_of(ws.root, made.wanted.id, made.data_version).entries.values()}
    return [found[seq] for seq in sorted(found)]


def _pending(ws: Workspace) -> tuple[str, ...]:
    """What is being published at this moment, or was cut off while it was: it may look altered until that ends."""
    names = sorted({str(intent.asset_id) for intent in journal.unfinished(ws.root)})
    return (f"publications under way, or cut off and ended by `editloom run`: {', '.join(names)}",) if names else ()


def _scope(ws: Workspace, target: Target) -> Scope:
    entries = [entry for entry in target.entries if entry.kind == ledger.MATERIALIZATION]
    lineage = lineage_entries(ws, entries)
    return Scope(frozenset((entry.subject, str(entry.body["data_version"])) for entry in lineage))
