"""The figures of lineage: how much of the demo `editloom verify` finds intact, and how long it and an audit take."""

from __future__ import annotations

import time
from collections.abc import Iterator

from data.errors import UserError
from orchestration.figure_sources import BUILD_FIRST
from orchestration.results import Bar, Figure
from orchestration.workspace import Workspace

GROUP = "lineage"
WRONG, VERIFY_S = "demo: things that `editloom verify` finds wrong", "demo: `editloom verify`"
AUDIT_S = "demo: audit of a released editor"


def lineage_figures(ws: Workspace) -> list[Figure]:
    """Every figure that the demo in `ws` has of its lineage; without a ledger none has a value."""
    try:
        return [*_verified(ws), _audited(ws)]
    except UserError as error:
        note = f"{error.message} {BUILD_FIRST}"
        units = ((WRONG, "count"), (VERIFY_S, "s"), (AUDIT_S, "s"))
        return [Figure(name, None, unit, note=note) for name, unit in units]


def _verified(ws: Workspace) -> Iterator[Figure]:
    from orchestration.verification.verify import verify

    started = time.perf_counter()
    found = verify(ws)
    seconds = time.perf_counter() - started
    yield Figure(WRONG, len(found.wrong), "count", bar=Bar(at_most=0), note=found.summary.split(";")[0])
    yield Figure(VERIFY_S, seconds, "s", note=f"{len(found.findings)} things, every byte hashed")


def _audited(ws: Workspace) -> Figure:
    from orchestration.audit.document import build_audit
    from orchestration.audit.targets import resolve_target

    asset = f"attribute_release[{next(iter(ws.params().attributes))}]"
    started = time.perf_counter()
    found = build_audit(ws, resolve_target(ws, asset))
    note = f"{len(found.upstream)} versions upstream, {len(found.outside)} files from outside"
    return Figure(AUDIT_S, time.perf_counter() - started, "s", note=note)
