"""A lineage cut into phases: what was made from one commit, under one params.yaml and one state of consent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import Lineage
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry

ASSETS = tuple(GRAPH)


@dataclass(frozen=True)
class Phase:
    """What is made again in one run: entries of different assets, inputs first, and what consent said before it."""

    commit: str | None
    entries: tuple[LedgerEntry, ...]
    consent: tuple[LedgerEntry, ...]

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partitions that are made, each once."""
        found = (entry.materialization.wanted.partition for entry in self.entries)
        return tuple(dict.fromkeys(partition for partition in found if partition))


def phases_of(root: Path, lineage: Lineage) -> tuple[Phase, ...]:
    """The phases of a lineage in the order in which they must run.

    One asset may stand in it twice (a report measured by newer judges than a network learned from): its later version
    is made in a later phase, as it once was.
    """
    consent = ledger.entries(root, kind=ledger.CONSENT)
    groups: list[tuple[list[LedgerEntry], int]] = []
    for entry, position in _in_order(lineage):
        known = sum(one.seq < position for one in consent)
        if not groups or groups[-1][1] != known or not _together(groups[-1][0], entry):
            groups.append(([], known))
        groups[-1][0].append(entry)
    before = [0, *(known for _, known in groups)]
    return tuple(
        Phase(entries[0].materialization.git_commit, tuple(entries), tuple(consent[told:known]))
        for (entries, known), told in zip(groups, before, strict=False)
    )


def _in_order(lineage: Lineage) -> list[tuple[LedgerEntry, int]]:
    """Entries with their place in time: that of the entry, or of its newest input.

    An asset that reads one part of an image set stands when another part changes: its inputs may be newer than it.
    """
    by_version = {(e.subject, e.materialization.data_version): e for e in lineage.entries.values()}
    places: dict[str, int] = {}

    def place(entry: LedgerEntry) -> int:
        if entry.entry_hash not in places:
            inputs = entry.materialization.wanted.inputs.items()
            newest = (place(by_version[one]) for one in inputs if one in by_version)
            places[entry.entry_hash] = max([entry.seq, *newest])
        return places[entry.entry_hash]

    found = [(entry, place(entry)) for entry in lineage.entries.values()]
    return sorted(found, key=lambda one: (one[1], ASSETS.index(one[0].materialization.wanted.asset)))


def _together(entries: list[LedgerEntry], entry: LedgerEntry) -> bool:
    """Whether one run can make an entry beside others: the same commit, and no setting or file in two states."""
    made, wanted = entry.materialization, entry.materialization.wanted
    if any(other.subject == entry.subject for other in entries):
        return False
    for other in entries:
        known = other.materialization
        pairs = ((known.wanted.params, wanted.params), (_files(known.wanted.inputs), _files(wanted.inputs)))
        if known.git_commit != made.git_commit or not all(_agree(*pair) for pair in pairs):
            return False
    seeds = {one.materialization.wanted.seed for one in (*entries, entry)} - {None}
    return len(seeds) <= 1


def _files(inputs: Mapping[str, str]) -> Mapping[str, str]:
    return {name: digest for name, digest in inputs.items() if AssetId.parse(name).asset not in GRAPH}


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in one.keys() & other.keys())
