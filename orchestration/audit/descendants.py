"""Everything that descends from an image: the image sets that hold it, the models that saw it, what measured on it."""

from __future__ import annotations

import gc
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from orchestration.audit.image_index import Holding
from orchestration.graph import GRAPH, AssetId
from orchestration.store import edges
from orchestration.store.edges import EntriesAt, Made, Use, Version
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

How = Literal["holds", "exposed", "measured"]
_STRENGTH: Mapping[How, int] = {"measured": 1, "exposed": 2, "holds": 3}
_MEASURES = frozenset({"reports", "releases"})


@dataclass(frozen=True)
class Descendant:
    """One materialization that an image reached, and through which of its inputs (ids, sorted).

    "holds": an image set with the image in it. "exposed": a model that learned from it, pairs that such a model made,
    a report or release of one. "measured": nothing but measurements stood on it.
    """

    made: Made
    how: How
    via: tuple[str, ...]
    entries: EntriesAt = field(repr=False, compare=False)

    @property
    def entry(self) -> LedgerEntry:
        """The ledger's entry; the first one asked for reads those of all descendants."""
        return self.entries[self.made.seq]


@dataclass
class _Reached:
    """How each version was reached, while it is being found out; of equal bytes the newest entry speaks."""

    held: Mapping[Version, frozenset[str]]
    versions: dict[Version, How] = field(default_factory=dict)

    def how(self, use: Use) -> How | None:
        """How the user of an edge is reached through it, or None when it is not."""
        group = _group(use.by.subject)
        if group == "images":
            return None  # by membership alone: a set made from another may have left the image out
        if use.of in self.held:
            part = _part(use.by.subject, use.of[0])
            if part is not None and part not in self.held[use.of]:
                return None
            return "measured" if group in _MEASURES else "exposed"
        return self._through(use)

    def _through(self, use: Use) -> How | None:
        how = self.versions.get(use.of)
        if how == "exposed" and _group(use.of[0]) == "reports":
            return "measured"  # who reads a report learns from its numbers, not from the model that it is of
        return how


def descendants(ws: Workspace, holdings: Iterable[Holding]) -> list[Descendant]:
    """Every materialization that the images of `holdings` reached, in ledger order.

    Which part of an image set an asset reads, the graph says. Image sets descend by membership alone, never by edges.
    """
    with _uncollected():
        return _descendants(ws, list(holdings))


def _descendants(ws: Workspace, found: Sequence[Holding]) -> list[Descendant]:
    reached = _Reached(_parts_held(found))
    edges_below = _edges(ws, reached)
    how: dict[int, How] = {holding.entry.seq: "holds" for holding in found}
    via: dict[int, set[str]] = defaultdict(set)
    for use in edges_below:
        one = reached.how(use)
        if one is None or _stronger(how.get(use.by.seq), one):
            continue
        if how.get(use.by.seq) != one:
            via[use.by.seq].clear()
        how[use.by.seq] = one
        via[use.by.seq].add(use.of[0])
    made = {use.by.seq: use.by for use in edges_below} | {one.entry.seq: _made(one.entry) for one in found}
    entries = EntriesAt(ws.root, tuple(sorted(how)))
    return [Descendant(made[seq], how[seq], tuple(sorted(via[seq])), entries) for seq in sorted(how)]


def _made(entry: LedgerEntry) -> Made:
    """What the look-up tables hold of the newest entry that made a version."""
    return Made(entry.seq, entry.subject, str(entry.body["data_version"]), str(entry.body["dvc_md5"]), True)


def _parts_held(found: Iterable[Holding]) -> dict[Version, frozenset[str]]:
    held: dict[Version, set[str]] = defaultdict(set)
    for holding in found:
        held[(holding.entry.subject, str(holding.entry.body["data_version"]))].add(holding.part)
    return {version: frozenset(parts) for version, parts in held.items()}


def _edges(ws: Workspace, reached: _Reached) -> list[Use]:
    """Every edge below the image sets; `reached` then says how each version was reached."""
    below = edges.uses_below(ws.root, reached.held)
    users: dict[Version, list[Use]] = defaultdict(list)
    for use in below:
        users[use.of].append(use)
    open_ = deque(reached.held)
    while open_:
        for use in users[open_.popleft()]:
            how = reached.how(use)
            # Bytes that a newer entry made without the image owe it nothing: the newest speaks for a version.
            if how is None or not use.by.newest or _stronger_or_equal(reached.versions.get(use.by.version), how):
                continue
            reached.versions[use.by.version] = how
            open_.append(use.by.version)
    return below


@contextmanager
def _uncollected() -> Iterator[None]:
    """Among hundreds of thousands of edges there is no cycle, and the search for one takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _stronger(one: How | None, other: How) -> bool:
    return one is not None and _STRENGTH[one] > _STRENGTH[other]


def _stronger_or_equal(one: How | None, other: How) -> bool:
    return one is not None and _STRENGTH[one] >= _STRENGTH[other]


@cache
def _group(subject: str) -> str:
    asset = GRAPH.get(AssetId.parse(subject).asset)
    return asset.group if asset else ""


@cache
def _part(user: str, image_set: str) -> str | None:
    """The part of an image set that its user alone reads, or None for all of it."""
    asset = GRAPH.get(AssetId.parse(user).asset)
    return asset.reads.get(AssetId.parse(image_set).asset) if asset else None
