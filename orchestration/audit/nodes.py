"""The nodes and edges of an audit: versions, and which of them was made from which."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from orchestration.audit.dataset_facts import DatasetFacts, dataset_facts
from orchestration.audit.descendants import How
from orchestration.audit.image_index import is_image_set
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import SHOWN_DIGITS
from orchestration.store import dvc, edges, ledger
from orchestration.store.edges import Use, Version
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import CHECKS_FILE, FACTS_FILE, Workspace

_ORDER = {name: place for place, name in enumerate(GRAPH)}


@dataclass(frozen=True)
class AuditNode:
    """One version; `key` is `asset[partition]@<first 12 digits>`, `entry` the newest that made it.

    `checks` are those whose evidence is here, `present` says whether its bytes are (in place or in DVC's cache), and
    `how` by which way the image of an image's audit reached it.
    """

    key: str
    entry: LedgerEntry
    dataset: DatasetFacts | None
    checks: Mapping[str, bool]
    present: bool
    how: How | None = None


@dataclass(frozen=True)
class Edge:
    """`source` (a key) is an input of `target`; `part` names the part of an image set that alone was read."""

    source: str
    target: str
    part: str | None


def version_key(version: Version) -> str:
    """A version's key in an audit."""
    return f"{version[0]}@{version[1][:SHOWN_DIGITS]}"


def node_key(entry: LedgerEntry) -> str:
    """The key of the version that an entry made."""
    return version_key((entry.subject, str(entry.body["data_version"])))


def asset_inputs(entry: LedgerEntry) -> list[Version]:
    """The inputs of a materialization that are assets."""
    inputs: Mapping[str, str] = entry.body["wanted"]["inputs"]
    return [(name, version) for name, version in inputs.items() if AssetId.parse(name).asset in GRAPH]


def in_graph_order(nodes: Iterable[AuditNode]) -> tuple[AuditNode, ...]:
    """Inputs before what is made from them; versions of one asset as the ledger has them."""
    return tuple(sorted(nodes, key=lambda node: (*_place(node.entry.subject), node.entry.seq)))


def edge_of(source: Version, target: Version) -> Edge:
    """The edge between two versions, with the part that the graph says is read."""
    user = GRAPH.get(AssetId.parse(target[0]).asset)
    part = user.reads.get(AssetId.parse(source[0]).asset) if user else None
    return Edge(version_key(source), version_key(target), part)


def edges_among(nodes: Iterable[AuditNode], uses: Iterable[Use]) -> tuple[Edge, ...]:
    """Every edge between `nodes`: by `uses`, which spare reading the bodies of many descendants, or else by inputs."""
    known = {node.key: node for node in nodes}
    read = {version_key(use.by.version) for use in uses}
    found = [edge_of(use.of, use.by.version) for use in uses]
    for node in known.values():
        if node.key not in read:
            made = (node.entry.subject, str(node.entry.body["data_version"]))
            found.extend(edge_of(source, made) for source in asset_inputs(node.entry))
    return tuple(edge for edge in dict.fromkeys(found) if edge.source in known and edge.target in known)


class NodeReader:
    """Makes nodes of entries; what is the same for all versions of an asset is read once."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._last = cache(self._last_version)
        self._evidence = cache(self._read_evidence)

    def node(self, entry: LedgerEntry, how: How | None = None) -> AuditNode:
        """The node of the version that an entry made."""
        version, md5 = str(entry.body["data_version"]), str(entry.body["dvc_md5"])
        return AuditNode(
            key=node_key(entry),
            entry=entry,
            dataset=dataset_facts(self._ws, entry) if is_image_set(entry.subject) else None,
            checks=self._checks(entry.subject, version),
            present=self._present(entry.subject, version, md5),
            how=how,
        )

    def _present(self, subject: str, version: str, md5: str) -> bool:
        in_place = self._ws.root / AssetId.parse(subject).path
        if self._last(subject) == version and in_place.is_dir():
            return True
        return (dvc.cache_dir(self._ws.root) / md5[:2] / md5[2:]).exists()

    def _last_version(self, subject: str) -> str | None:
        asset = AssetId.parse(subject)
        last = ledger.last_entry(self._ws.root, asset.asset, asset.partition)
        return str(last.body["data_version"]) if last else None

    def _checks(self, subject: str, version: str) -> Mapping[str, bool]:
        of_version, checks = self._evidence(subject)
        return checks if of_version == version else {}

    def _read_evidence(self, subject: str) -> tuple[str | None, Mapping[str, bool]]:
        """The version that the evidence beside a payload belongs to, and whether each of its checks passed."""
        folder = self._ws.root / AssetId.parse(subject).evidence_path
        facts, checks = (_read(folder / name) for name in (FACTS_FILE, CHECKS_FILE))
        return facts.get("data_version"), {name: _passed(document) for name, document in sorted(checks.items())}


def upstream_entries(ws: Workspace, start: Iterable[LedgerEntry]) -> tuple[list[LedgerEntry], list[str]]:
    """Everything that `start` was made from, with `start` itself, and the versions of which the ledger knows nothing.

    Of several entries with the same bytes the newest counts, with the inputs under which it was last found to stand.
    """
    found: dict[str, LedgerEntry] = {}
    unknown: list[str] = []
    open_ = [ledger.confirmed(ws.root, entry) for entry in start]
    while open_:
        entry = open_.pop()
        if node_key(entry) in found:
            continue
        found[node_key(entry)] = entry
        for version in asset_inputs(entry):
            made = ledger.makers(ws.root, *version) if version_key(version) not in found else []
            open_.extend(ledger.confirmed(ws.root, one) for one in made[-1:])
            if not made and version_key(version) not in found:
                unknown.append(version_key(version))
    return list(found.values()), list(dict.fromkeys(unknown))


def downstream_entries(ws: Workspace, uses: Iterable[Use], without: Iterable[str]) -> list[LedgerEntry]:
    """The newest entry of each version that `uses` lead to, but for those whose key is among `without`."""
    known = set(without)
    newest = {use.by.version: use.by.seq for use in uses if version_key(use.by.version) not in known and use.by.newest}
    return edges.entries_at(ws.root, newest.values())


def _place(subject: str) -> tuple[int, str]:
    return _ORDER.get(AssetId.parse(subject).asset, len(_ORDER)), subject


def _read(path: Any) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _passed(document: object) -> bool:
    """Nothing is published whose own checks failed, so that they say only what they saw; a gate says what it found."""
    known = document if isinstance(document, Mapping) else {}
    return bool(known.get("passed", known.get("success", True)))


def inputs_outside(entries: Iterable[LedgerEntry]) -> Iterator[tuple[LedgerEntry, str, str]]:
    """(entry, name, sha256) of every input that is no asset: the user's own files and settings."""
    for entry in entries:
        for name, sha256 in entry.body["wanted"]["inputs"].items():
            if AssetId.parse(name).asset not in GRAPH:
                yield entry, name, sha256
