"""Why something was made: what changed since the version before it, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from data.errors import UserError
from orchestration.graph import GRAPH, AssetId, expand, inputs_of, node, upstream
from orchestration.lineage import SHOWN_DIGITS
from orchestration.plan import PlanItem, plan
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.reuse import differences
from orchestration.workspace import Workspace

FIRST = "it was made for the first time"
NOTHING = "nothing changed: it was made again by hand, by --always, or because its payload was lost"


@dataclass(frozen=True)
class Reason:
    """A sentence without a full stop, and the reasons behind it."""

    text: str
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Why:
    """Why `entry` was made after `before`, and why it would be made again now (nothing when it stands)."""

    id: AssetId
    entry: LedgerEntry | None
    before: LedgerEntry | None
    then: tuple[Reason, ...]
    now: tuple[Reason, ...]


def why(ws: Workspace, asset_id: AssetId) -> Why:
    """What changed when `asset_id` was last made, and what changed since; raises UserError for what is not known."""
    params = ws.params()
    _check(asset_id, tuple(params.attributes))
    made = ledger.entries(ws.root, str(asset_id), ledger.MATERIALIZATION)[-2:]
    entry = made[-1] if made else None
    before = made[0] if len(made) == 2 else None
    then = _between(ws, before, entry, frozenset()) if before and entry else (Reason(FIRST),) if entry else ()
    return Why(asset_id, entry, before, then or (Reason(NOTHING),), _now(ws, asset_id))


def show_why(found: Why, console: Console) -> None:
    """Print both, as trees of reasons."""
    if found.entry is None:
        tree = Tree(Text(f"{found.id} was never made"))
    else:
        tree = Tree(
            Text(f"{_version(found.entry)}, entry {found.entry.seq} of {found.entry.at[:16].replace('T', ' ')}")
        )
        _grow(tree, found.then)
    if found.before:
        tree.add(Text(_outcome(found.before, found.entry), style="dim"))
    console.print(tree)
    if found.now:
        later = Tree("Now it would run, or be looked at again")
        _grow(later, found.now)
        console.print(later)
    elif found.entry is not None:
        console.print("It stands as it is: `editloom run` would reuse it.", highlight=False)


def _check(asset_id: AssetId, declared: tuple[str, ...]) -> None:
    asset = node(asset_id.asset)
    if asset.partition is None and asset_id.partition is not None:
        raise UserError(f"{asset.name} has no partitions.", f"Ask for `editloom why {asset.name}`.")
    if asset.partition is not None and asset_id.partition not in declared:
        known = ", ".join(f"{asset.name}[{name}]" for name in declared)
        raise UserError(f"{asset_id} is not declared in params.yaml.", f"There are: {known}.")


def _between(ws: Workspace, before: LedgerEntry, entry: LedgerEntry, seen: frozenset[str]) -> tuple[Reason, ...]:
    """What differs between two materializations; of an input that differs, in turn, why."""
    old, new = before.materialization, entry.materialization
    found = [
        _explained(ws, text, old.wanted.inputs, new.wanted.inputs, seen) for text in differences(old.wanted, new.wanted)
    ]
    if before.body.get("consent") != entry.body.get("consent") and _is_image_set(entry.subject):
        found.append(Reason("consent was withdrawn or granted in between"))
    if not found and old.environment != new.environment:
        found.append(Reason("the installed software differs, which alone makes nothing run again"))
    return tuple(found)


def _explained(
    ws: Workspace, text: str, old: Mapping[str, str], new: Mapping[str, str], seen: frozenset[str]
) -> Reason:
    name = text.removesuffix(" changed")
    if name not in old or name not in new or name in seen:
        return Reason(text)
    versions = f"{text} ({old[name][:SHOWN_DIGITS]} → {new[name][:SHOWN_DIGITS]})"
    if AssetId.parse(name).asset not in GRAPH:
        return Reason(versions)
    makers = [ledger.makers(ws.root, name, version) for version in (old[name], new[name])]
    if not all(makers):
        return Reason(versions, (Reason("the ledger does not know both versions"),))
    return Reason(versions, _between(ws, makers[0][-1], makers[1][-1], seen | {name}))


def _now(ws: Workspace, asset_id: AssetId) -> tuple[Reason, ...]:
    """The plan's reasons, with those of the inputs that would be made again first."""
    params = ws.params()
    partitions = (asset_id.partition,) if asset_id.partition else tuple(params.attributes)
    ids = expand(partitions, (*upstream(asset_id.asset), asset_id.asset))
    items = {item.id: item for item in plan(ws, params, ids)}
    return tuple(_reasons(items, asset_id))


def _reasons(items: Mapping[AssetId, PlanItem], asset_id: AssetId) -> Iterator[Reason]:
    item = items[asset_id]
    if item.action == "reuse":
        return
    behind = {f"{dep} is made again": dep for dep in inputs_of(asset_id) if items[dep].action != "reuse"}
    texts = dict.fromkeys((*item.reasons, *behind))
    for text in texts:
        because = tuple(_reasons(items, behind[text])) if text in behind else ()
        certain = text not in behind or items[behind[text]].action == "run"
        yield Reason(text if certain else text.replace(" is made again", " may be made again"), because)


def _outcome(before: LedgerEntry, entry: LedgerEntry | None) -> str:
    same = entry is not None and entry.body["data_version"] == before.body["data_version"]
    return (
        f"before it: {_version(before)}, entry {before.seq}; its bytes came out {'the same' if same else 'different'}"
    )


def _version(entry: LedgerEntry) -> str:
    return f"{entry.subject}@{str(entry.body['data_version'])[:SHOWN_DIGITS]}"


def _is_image_set(subject: str) -> bool:
    return GRAPH[AssetId.parse(subject).asset].group == "images"


def _grow(tree: Tree, reasons: tuple[Reason, ...]) -> None:
    for reason in reasons:
        _grow(tree.add(Text(reason.text)), reason.because)
