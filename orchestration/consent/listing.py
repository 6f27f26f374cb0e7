"""What descends from withdrawn images and what holds now, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from orchestration.audit.descendants import Descendant
from orchestration.consent.registry import State
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import SHOWN_DIGITS

SHOWN_ROWS = 20
_KINDS: Mapping[str, str] = {
    "images": "image sets",
    "networks": "networks",
    "reports": "reports",
    "releases": "releases",
}
_ASSET_KINDS: Mapping[str, str] = {"edit_pairs": "pairs", "attribute_editor": "editors"}


def kind_of(subject: str) -> str:
    """What a person calls the kind of an asset: image sets, networks, pairs, editors, reports, releases."""
    asset = AssetId.parse(subject).asset
    group = GRAPH[asset].group if asset in GRAPH else ""
    return _ASSET_KINDS.get(asset) or _KINDS.get(group, group.replace("_", " ") or "others")


def tainted_table(reached: Sequence[Descendant]) -> Table:
    """Everything that descends from the images, by kind; the newest of each kind, where there are many."""
    table = Table(title=f"{len(reached)} versions descend from it", title_justify="left")
    for column in ("kind", "asset", "version", "how", "made at", "entry"):
        table.add_column(column, overflow="fold")
    for kind, members in _by_kind(reached).items():
        for one in reversed(members[-SHOWN_ROWS:]):
            version = str(one.entry.body["data_version"])[:SHOWN_DIGITS]
            table.add_row(kind, escape(one.entry.subject), version, one.how, one.entry.at[:19], str(one.entry.seq))
        if len(members) > SHOWN_ROWS:
            table.add_row(kind, f"… and {len(members) - SHOWN_ROWS} older ones", "", "", "", "")
    return table


def states_table(states: Iterable[State]) -> Table:
    """Each image and subject that was ever spoken of, with what holds now."""
    table = Table(title="Consent", title_justify="left")
    for column in ("of", "state", "since", "by", "reason", "hashes", "entry"):
        table.add_column(column, overflow="fold")
    for state in states:
        change, entry = state.change, state.entry
        since = change.time or entry.at[:19]
        cells = (change.is_of, change.state, since, change.by, change.reason, str(len(change.images)), str(entry.seq))
        table.add_row(*map(escape, cells))
    return table


def _by_kind(reached: Iterable[Descendant]) -> Mapping[str, list[Descendant]]:
    kinds: dict[str, list[Descendant]] = {}
    for one in reached:
        kinds.setdefault(kind_of(one.entry.subject), []).append(one)
    order = list(GRAPH)
    return dict(sorted(kinds.items(), key=lambda item: order.index(AssetId.parse(item[1][0].entry.subject).asset)))
