"""An audit on a terminal: one line a version, as a tree from the target to its images, and to what was made from it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from orchestration.audit.document import AuditDocument, AuditNode
from orchestration.audit.nodes import node_key
from orchestration.graph import GRAPH, AssetId
from orchestration.release.decisions import Decided
from orchestration.terminal import unfolded

SHOWN_DIGITS = 8
MAX_LINES = 200
_COLOURS: Mapping[str, str] = {"holds": "red", "exposed": "red", "measured": "yellow"}


@dataclass(frozen=True)
class Shown:
    """Which sides of an audit are shown, and whether with all settings."""

    upstream: bool = True
    downstream: bool = True
    full: bool = False


def show_audit(document: AuditDocument, console: Console, shown: Shown) -> None:
    """Print warnings, the trees, what came from outside, releases and decisions."""
    wide = unfolded(console)
    lines = _Lines(document, shown.full)
    for warning in document.warnings:
        wide.print(Text.assemble(("warning: ", "yellow"), warning))
    if document.images:
        wide.print(_places(document))
    if shown.upstream:
        wide.print(lines.upstream(), no_wrap=True, overflow="ellipsis")
        _show_outside(document, wide)
    if shown.downstream and document.downstream:
        wide.print(lines.downstream(), no_wrap=True, overflow="ellipsis")
    _show_decisions(document, wide)
    head = document.head
    wide.print(f"Ledger: {head.seq} entries, head {head.entry_hash[:SHOWN_DIGITS]}.", highlight=False)


class _Lines:
    """Draws the two trees; a version that stands in several places is opened at the first."""

    def __init__(self, document: AuditDocument, full: bool) -> None:
        self._document, self._full = document, full
        self._nodes = {node.key: node for node in document.nodes}
        self._inputs: dict[str, list[str]] = defaultdict(list)
        self._users: dict[str, list[str]] = defaultdict(list)
        self._parts = {(edge.source, edge.target): edge.part for edge in document.edges}
        for edge in document.edges:
            self._inputs[edge.target].append(edge.source)
            self._users[edge.source].append(edge.target)

    def upstream(self) -> Tree:
        """From the target's versions to what they were made from; of an image, the image sets that hold it."""
        document = self._document
        if document.target.kind == "image":
            return self._flat("Held by", document.upstream)
        tree, seen = Tree("Made from"), set[str]()
        for entry in document.target.entries:
            self._grow(tree, node_key(entry), self._inputs, seen)
        return tree

    def downstream(self) -> Tree:
        """What was made from the target; of very many, how many of each asset; of an image, all that it reached."""
        document = self._document
        if len(document.downstream) > MAX_LINES:
            return self._counted()
        if document.target.kind == "image":
            return self._flat("Reached", document.downstream)
        tree, seen = Tree("Made from it"), set[str]()
        targets = [node_key(entry) for entry in document.target.entries]
        for key in dict.fromkeys(user for target in targets for user in self._users[target]):
            self._grow(tree, key, self._users, seen)
        return tree

    def _grow(self, tree: Tree, key: str, following: Mapping[str, Sequence[str]], seen: set[str]) -> None:
        again = key in seen
        branch = tree.add(Text(f"{key} (see above)", style="dim") if again else self._line(self._nodes[key]))
        seen.add(key)
        for other in () if again else following.get(key, ()):
            self._grow(branch, other, following, seen)

    def _flat(self, title: str, nodes: Iterable[AuditNode]) -> Tree:
        tree = Tree(title)
        for node in nodes:
            tree.add(self._line(node))
        return tree

    def _counted(self) -> Tree:
        counts = Counter((node.entry.subject, node.how) for node in self._document.downstream)
        tree = Tree(f"{len(self._document.downstream):,} versions; --json names every one")
        for (subject, how), count in counts.items():
            tree.add(Text(f"{count:,} × {subject}{f' ({how})' if how else ''}"))
        return tree

    def _line(self, node: AuditNode) -> Text:
        line = Text.assemble((node.key, "bold"), f"  {' · '.join(facts_of(node))}")
        if node.how:
            line.append(f"  {node.how}", style=_COLOURS[node.how])
        tainted = self._document.tainted.get(node.key)
        if tainted:
            line.append(f"  {taint_word(tainted)}", style=_COLOURS[tainted])
        if self._full:
            line.append(f"  {json.dumps(node.entry.body['wanted']['params'], sort_keys=True)}", style="dim")
        return line


def facts_of(node: AuditNode) -> list[str]:
    """What is said of a version in one line: entry, time, commit, code, numbers, checks."""
    body = node.entry.body
    commit = f"commit {str(body['git_commit'])[:SHOWN_DIGITS]}" if body["git_commit"] else "no commit"
    facts = [
        f"entry {node.entry.seq}",
        node.entry.at[:16].replace("T", " "),
        commit + ("" if body["git_clean"] else " with changes"),
        f"code {body['wanted']['code_version']}",
    ]
    if node.dataset:
        facts.append(f"{node.dataset.count:,} images of {node.dataset.subjects:,} subjects")
        facts.append(f"{counted(node.dataset.licences)}; {counted(node.dataset.consents)}")
        facts.append(f"root {node.dataset.dataset_root[:SHOWN_DIGITS]}")
    facts += [f"{name} {'passed' if passed else 'not passed'}" for name, passed in node.checks.items()]
    return facts if node.present else [*facts, "its bytes are not here"]


def counted(values: Mapping[str, int]) -> str:
    """Counts in words, the largest first."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(values.items(), key=lambda pair: -pair[1])) or "–"


def taint_word(how: str) -> str:
    """What withdrawn images did to a version, in a word or two."""
    return {"holds": "HOLDS WITHDRAWN", "exposed": "TAINTED", "measured": "measured on withdrawn"}[how]


def decision_line(decided: Decided) -> str:
    """One decision in one line."""
    return f"{decided.entry.at[:16].replace('T', ' ')}  {decided.decision.model}: {decided.decision.sentence}"


def _places(document: AuditDocument) -> Text:
    subjects = sorted({one.subject for one in document.images})
    splits = sorted({one.split for one in document.images})
    consents = sorted({one.consent for one in document.images})
    hashes = sorted({one.sha256 for one in document.images})
    return Text(
        f"{len(hashes)} stored image{'s' if len(hashes) > 1 else ''} in {len(document.upstream)} image sets; "
        f"subject {', '.join(subjects[:3])}; split {', '.join(splits)}; consent at ingest: {', '.join(consents)}"
    )


def _show_outside(document: AuditDocument, console: Console) -> None:
    if not document.outside:
        return
    tree = Tree("From outside")
    for one in document.outside:
        users = ", ".join(AssetId.parse(key.split("@")[0]).asset for key in one.used_by[:2])
        tree.add(Text.assemble(one.name, f"  sha256 {one.sha256[:SHOWN_DIGITS]}", (f"  used by {users}", "dim")))
    console.print(tree, no_wrap=True, overflow="ellipsis")


def _show_decisions(document: AuditDocument, console: Console) -> None:
    for one in document.releases:
        when, key = one.at[:16].replace("T", " "), one.body["keyid"][:SHOWN_DIGITS]
        console.print(Text(f"{when}  {one.body['model']}: version {one.body['version']} registered, signed by {key}"))
    for decided in document.decisions:
        console.print(Text(decision_line(decided)))


def group_of(node: AuditNode) -> str:
    """The group of a version's asset, as the graph has it."""
    asset = GRAPH.get(AssetId.parse(node.entry.subject).asset)
    return asset.group if asset else "other"
