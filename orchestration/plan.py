"""What would run, what would be reused, and why: decided from the ledger and the settings, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from data.errors import UserError
from orchestration.code_versions import version_of
from orchestration.compute.inventory import accelerator_count
from orchestration.compute.requests import request_of
from orchestration.consent.effects import consent_reasons
from orchestration.graph import AssetId, chosen_partitions, expand, inputs_of, node, select
from orchestration.outside_files import outside_files
from orchestration.params import Params, resolve, section_digest
from orchestration.release.decisions import gate_decision
from orchestration.store import ledger
from orchestration.store.environment import device_class
from orchestration.store.ledger import LedgerEntry
from orchestration.store.records import Materialization, Wanted
from orchestration.store.reuse import Stale, reusable
from orchestration.workspace import Workspace

Action = Literal["run", "reuse", "maybe"]
ANY_DEVICE = "any"


@dataclass(frozen=True)
class PlanItem:
    """One id of a plan. `maybe`: it runs only if an input that is made again comes out different.

    `fetched` is the entry whose bytes must first come back from DVC.
    """

    id: AssetId
    action: Action
    reasons: tuple[str, ...]
    fetched: LedgerEntry | None = None


def plan_selection(ws: Workspace, selection: str | None, partitions: Sequence[str] | None) -> list[PlanItem]:
    """The plan for a selection expression; raises UserError for a name or partition that is not known."""
    params = ws.params()
    chosen = chosen_partitions(tuple(params.attributes), partitions)
    return plan(ws, params, expand(chosen, select(selection)))


def plan(ws: Workspace, params: Params, ids: Sequence[AssetId], *, strict: bool = False) -> list[PlanItem]:
    """What happens to each of `ids`, inputs first.

    Raises UserError when something needs an input that was never made and is not among `ids`.
    """
    items: dict[AssetId, PlanItem] = {}
    for asset_id in ids:
        items[asset_id] = _item(ws, params, asset_id, items, frozenset(ids), strict)
    return list(items.values())


def wanted(ws: Workspace, params: Params, asset_id: AssetId) -> Wanted:
    """All that a payload of `asset_id` is a function of, as inputs and settings stand now.

    Raises UserError when an input was never made, or a file that params.yaml names is missing.
    """
    return _wanted(ws, params, asset_id, _inputs(ws, asset_id, inputs_of(asset_id)))


def device_class_of(params: Params, asset: str) -> str:
    """The class of device that the bulk step of an asset is wanted on: of Ray's nodes, where params.yaml names it."""
    named = params.compute.ray.device_class
    return _times(named, params, asset) if named and not node(asset).gated else own_device_class(params, asset)


def own_device_class(params: Params, asset: str) -> str:
    """The class of device that the bulk step of an asset runs on, on this machine."""
    compute = params.compute
    cuda = compute.accelerator == "cuda" or (compute.accelerator == "auto" and accelerator_count() > 0)
    one = device_class("cuda" if cuda else "cpu", compute.threads_per_device, portable=compute.portable)
    return _times(one, params, asset)


def _times(one: str, params: Params, asset: str) -> str:
    """The class of as many devices as an asset trains over: another number rounds its sums otherwise."""
    count = request_of(params, asset).devices
    return one if count == 1 else f"{one} ×{count}"


def _item(
    ws: Workspace,
    params: Params,
    asset_id: AssetId,
    planned: Mapping[AssetId, PlanItem],
    ids: frozenset[AssetId],
    strict: bool,
) -> PlanItem:
    deps = inputs_of(asset_id)
    again = [dep for dep in deps if dep in ids and planned[dep].action != "reuse"]
    inputs = _inputs(ws, asset_id, (dep for dep in deps if dep not in again))
    unknown = frozenset(str(dep) for dep in again)
    found = reusable(ws.root, _wanted(ws, params, asset_id, inputs), strict=strict, unknown=unknown)
    # After the comparison, which may have brought a manifest back from a remote.
    consent = consent_reasons(ws.root, asset_id)
    if isinstance(found, Stale):
        return PlanItem(asset_id, "run", (*found.reasons, *consent))
    if consent:
        return PlanItem(asset_id, "run", consent)
    if again:
        return PlanItem(asset_id, "maybe", tuple(f"{dep} is made again" for dep in again))
    if node(asset_id.asset).gated and gate_decision(ws.root, found.entry) is None:
        return PlanItem(asset_id, "run", ("its gate has not decided yet",))
    if found.fetch:
        return PlanItem(asset_id, "reuse", ("its payload is fetched from DVC",), found.entry)
    return PlanItem(asset_id, "reuse", ())


def _wanted(ws: Workspace, params: Params, asset_id: AssetId, inputs: Mapping[AssetId, Materialization]) -> Wanted:
    asset = node(asset_id.asset)
    versions = {str(dep): made.data_version for dep, made in inputs.items()}
    read = ((dep, made.parts.get(asset.reads.get(dep.asset, ""))) for dep, made in inputs.items())
    return Wanted(
        asset=asset_id.asset,
        partition=asset_id.partition,
        code_version=version_of(asset.name),
        params_digest=section_digest(params, asset.params, asset_id.partition),
        params=resolve(params, asset.params, asset_id.partition),
        seed=params.seed if asset.seeded else None,
        inputs={**versions, **outside_files(ws.root, params, asset_id)},
        parts={str(dep): root for dep, root in read if root is not None},
        device_class=device_class_of(params, asset.name) if asset.device else ANY_DEVICE,
    )


def _inputs(ws: Workspace, asset_id: AssetId, deps: Iterable[AssetId]) -> Mapping[AssetId, Materialization]:
    return {dep: _last(ws, asset_id, dep) for dep in deps}


def _last(ws: Workspace, asset_id: AssetId, dep: AssetId) -> Materialization:
    entry = ledger.last_entry(ws.root, dep.asset, dep.partition)
    if entry is None:
        hint = f"Select it too: editloom run --select +{asset_id.asset}"
        raise UserError(f"{asset_id} is made from {dep}, which was never made.", hint)
    return entry.materialization
