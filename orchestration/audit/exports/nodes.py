"""What every export tells alike: the document's nodes, each once, its edges, and the kind of thing a node is."""

from __future__ import annotations

from typing import Literal

from orchestration.audit.document import AuditDocument, AuditNode, Edge
from orchestration.graph import GRAPH, AssetId, AssetNode

Kind = Literal["data", "model", "report", "release"]

_OF_GROUP: dict[str, Kind] = {"reports": "report", "releases": "release"}


def nodes_of(document: AuditDocument) -> tuple[AuditNode, ...]:
    """Every materialization of the document once, in the ledger's order."""
    known = {node.key: node for node in (*document.upstream, *document.downstream)}
    return tuple(sorted(known.values(), key=lambda node: node.entry.seq))


def edges_of(document: AuditDocument) -> tuple[Edge, ...]:
    """Every edge once: between nodes, and from what stands outside the ledger to what reads it."""
    outside = (Edge(one.key, user, None) for one in document.outside for user in one.used_by)
    known = {(edge.target, edge.source): edge for edge in (*outside, *document.edges)}
    return tuple(known[key] for key in sorted(known))


def declared(node: AuditNode) -> AssetNode | None:
    """The asset as the graph has it now; None for one that it no longer has."""
    return GRAPH.get(AssetId.parse(node.entry.subject).asset)


def kind_of(node: AuditNode) -> Kind:
    """What the node is, by what the graph says of its asset."""
    known = declared(node)
    if known is None or known.group in _OF_GROUP:
        return _OF_GROUP[known.group] if known else "data"
    return "data" if "parquet" in known.kinds else "model"


def is_tainted(document: AuditDocument, node: AuditNode) -> bool:
    """Whether an image that was withdrawn since reached the node."""
    return node.key in document.tainted
