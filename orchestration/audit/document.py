"""One audit as data: everything behind a target, everything made from it, and who decided what about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from data.errors import UserError
from orchestration.audit.dataset_facts import DatasetFacts
from orchestration.audit.descendants import How, descendants
from orchestration.audit.image_index import Holding, unreadable
from orchestration.audit.nodes import (
    AuditNode,
    Edge,
    NodeReader,
    downstream_entries,
    edges_among,
    in_graph_order,
    node_key,
    upstream_entries,
)
from orchestration.audit.outside import Outside, outside_of
from orchestration.audit.record import audit_json
from orchestration.audit.targets import Target, images_of
from orchestration.graph import GRAPH, AssetId
from orchestration.release.decisions import Decided, Decision
from orchestration.store import edges, ledger
from orchestration.store.edges import Use
from orchestration.store.ledger import Head, LedgerEntry
from orchestration.workspace import Workspace

__all__ = ["AuditDocument", "AuditNode", "DatasetFacts", "Edge", "Outside", "audit_json", "build_audit"]

_NAMED = 5


@dataclass(frozen=True)
class AuditDocument:
    """What is known of a target in this workspace.

    `upstream` holds the target's own versions and everything that they were made from, `downstream` everything made
    from them; of an image, `upstream` are the image sets that hold it. `tainted`: keys of versions that withdrawn
    images reached, and how.
    """

    target: Target
    upstream: tuple[AuditNode, ...]
    downstream: tuple[AuditNode, ...]
    edges: tuple[Edge, ...]
    outside: tuple[Outside, ...]
    decisions: tuple[Decided, ...]
    releases: tuple[LedgerEntry, ...]
    images: tuple[Holding, ...]
    warnings: tuple[str, ...]
    head: Head
    tainted: Mapping[str, How] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[AuditNode, ...]:
        """All versions, inputs before what is made from them."""
        return in_graph_order((*self.upstream, *self.downstream))


@dataclass(frozen=True)
class _Closure:
    """The entries on both sides of a target, the edges below it, and what is missing from the ledger."""

    up: Sequence[LedgerEntry]
    down: Sequence[LedgerEntry]
    how: Mapping[int, How]
    uses: Sequence[Use]
    unknown: Sequence[str] = ()


def build_audit(ws: Workspace, target: Target) -> AuditDocument:
    """Gather the audit of a target; nothing is changed and nothing is verified (see `editloom verify`).

    Raises UserError for an empty ledger.
    """
    head = ledger.head(ws.root)
    if head is None:
        raise UserError("The ledger is empty: there is nothing to audit.", "Make something first: `editloom run`.")
    images = images_of(ws, target)
    closure = _of_image(ws, images) if target.kind == "image" else _of_versions(ws, target)
    reader = NodeReader(ws)
    upstream = in_graph_order(reader.node(entry, closure.how.get(entry.seq)) for entry in closure.up)
    downstream = in_graph_order(reader.node(entry, closure.how.get(entry.seq)) for entry in closure.down)
    outside, unsure = outside_of(ws, closure.up) if target.kind != "image" else ((), ())
    hashes = _release_hashes(ws, closure)
    return AuditDocument(
        target=target,
        upstream=upstream,
        downstream=downstream,
        edges=edges_among((*upstream, *downstream), closure.uses),
        outside=outside,
        decisions=_decisions(ws, hashes),
        releases=tuple(one for one in _of_kind(ws, ledger.RELEASE, hashes) if one.body["release"] in hashes),
        images=tuple(images),
        warnings=(*_warnings(ws, target, closure, upstream), *unsure),
        head=head,
        tainted=_tainted(ws),
    )


def _of_versions(ws: Workspace, target: Target) -> _Closure:
    up, unknown = upstream_entries(ws, target.entries)
    uses = edges.uses_below(ws.root, [(one.subject, str(one.body["data_version"])) for one in target.entries])
    down = downstream_entries(ws, uses, map(node_key, up))
    if down:  # what was made from the target has other inputs too, some of them upstream of it
        uses = [*uses, *edges.uses(ws.root, [(one.subject, str(one.body["data_version"])) for one in up])]
    return _Closure(up, down, {}, uses, unknown)


def _of_image(ws: Workspace, images: Sequence[Holding]) -> _Closure:
    up = {holding.entry.seq: holding.entry for holding in images}
    found = descendants(ws, images)
    below = [one for one in found if one.how != "holds"]
    newest: dict[str, LedgerEntry] = {node_key(one.entry): one.entry for one in below}
    kept = {entry.seq for entry in newest.values()}
    uses = edges.uses_below(ws.root, [(one.subject, str(one.body["data_version"])) for one in up.values()])
    return _Closure(
        list(up.values()),
        list(newest.values()),
        {one.entry.seq: one.how for one in found if one.entry.seq in kept or one.how == "holds"},
        uses,
    )


def _release_hashes(ws: Workspace, closure: _Closure) -> frozenset[str]:
    """The entry hashes of the releases of an audit, by whichever entry their bytes were made."""
    found = [entry for entry in (*closure.up, *closure.down) if _gated(entry.subject)]
    return frozenset(entry.entry_hash for entry in found)


def _decisions(ws: Workspace, hashes: frozenset[str]) -> tuple[Decided, ...]:
    found = _of_kind(ws, ledger.DECISION, hashes)
    return tuple(Decided(one, Decision.model_validate(one.body)) for one in found if one.body.get("release") in hashes)


def _of_kind(ws: Workspace, kind: str, hashes: frozenset[str]) -> list[LedgerEntry]:
    return ledger.entries(ws.root, kind=kind) if hashes else []


def _gated(subject: str) -> bool:
    asset = GRAPH.get(AssetId.parse(subject).asset)
    return asset is not None and asset.gated


def _tainted(ws: Workspace) -> Mapping[str, How]:
    """What withdrawn images reached, by key; cheap where nothing is withdrawn."""
    from orchestration.consent.taint import current_taint

    return {node_key(one.entry): one.how for one in current_taint(ws).reached}


def _warnings(ws: Workspace, target: Target, closure: _Closure, upstream: Iterable[AuditNode]) -> list[str]:
    said = [
        f"The ledger has no entry for {key}, an input: what it was made from is not known." for key in closure.unknown
    ]
    for node in upstream:
        if node.dataset is None and _is_set(node):
            said.append(f"The manifest of {node.key} is no longer here: its numbers are not known (`editloom pull`).")
    changed = [node.key for node in upstream if not node.entry.body["git_clean"]]
    if changed:
        said.append(f"Made from a tree with changes that no commit holds: {_some(changed)}.")
    if target.kind == "image":
        gone = [node_key(entry) for entry in unreadable(ws)]
        said += [f"Not looked into, for their manifests are not here: {_some(gone)}."] if gone else []
    return said


def _is_set(node: AuditNode) -> bool:
    return GRAPH[AssetId.parse(node.entry.subject).asset].group == "images"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
