"""What a plan is expected to cost, from what the same assets took before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from orchestration.compute.requests import request_of
from orchestration.compute.usage import Usage
from orchestration.graph import AssetId, node
from orchestration.params import Params, resolve
from orchestration.plan import PlanItem
from orchestration.workspace import FACTS_FILE, Workspace

COSTS = "costs"
KEPT, COUNTED_RUNS = 10, 5
"""Materializations that are remembered of each asset, and those of them, the newest, that an expectation rests on."""


@dataclass(frozen=True)
class Work:
    """The setting that an asset's time grows with, and how many counted images (or pairs) one of it stands for."""

    key: str
    each: int


WORK: Mapping[str, Work] = {
    "images": Work("images.renderer.count", 1),
    "aligned_images": Work("images.renderer.count", 1),
    "original_network": Work("original_network.kimg", 1000),
    "original_report": Work("original_report.images", 1),
    "feature_network": Work("feature_network.kimg", 1000),
    "edit_pairs": Work("edit_pairs.count", 1),
    "attribute_editor": Work("attribute_editor.kimg", 1000),
    "attribute_report": Work("attribute_report.count", 1),
    "fusion_report": Work("fusion_report.count", 1),
}


@dataclass(frozen=True)
class PastCost:
    """One materialization: what it took, over how many devices, for how much work, under which other settings.

    `rate` is of images (or pairs) a second, `settings` a digest of all settings but the amount of work; empty: unknown.
    """

    ledger_entry: int
    seconds: float
    devices: int
    device_class: str = ""
    work: float | None = None
    rate: float | None = None
    settings: str = ""


@dataclass(frozen=True)
class Expected:
    """What one materialization is expected to take, and the runs that this rests on, in words."""

    seconds: float
    device_seconds: float
    basis: str


@dataclass(frozen=True)
class PlannedCost:
    """One row of a plan with its cost: None where no run of the asset is known."""

    item: PlanItem
    expected: Expected | None


@dataclass(frozen=True)
class Total:
    """The sum over rows; `unknown` rows are not in it."""

    assets: int
    seconds: float
    device_hours: float
    unknown: int


NOTHING = Expected(0.0, 0.0, "")


def remember(ws: Workspace, params: Params, asset_id: AssetId, made: tuple[int, str], usage: Usage) -> None:
    """Add what a materialization took, `made` being its ledger entry's number and device class; the newest are kept.

    Local to this checkout: another machine takes another time. A full disk costs the record, never the step.
    """
    past = PastCost(
        ledger_entry=made[0],
        seconds=round(usage.seconds, 3),
        devices=_devices(params, asset_id),
        device_class=made[1],
        work=_work(params, asset_id),
        rate=usage.rate,
        settings=_settings(params, asset_id),
    )
    path = _file(ws, asset_id)
    rows = [asdict(one) for one in (*past_costs(ws, asset_id), past)][-KEPT:]
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".tmp")
        staged.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        staged.replace(path)


def past_costs(ws: Workspace, asset_id: AssetId) -> list[PastCost]:
    """What earlier materializations took, oldest first; of one made before this was remembered, its facts' seconds."""
    known = {field.name for field in fields(PastCost)}
    rows: list[dict[str, Any]] = _read(_file(ws, asset_id)) or []
    if rows:
        return [PastCost(**{key: value for key, value in row.items() if key in known}) for row in rows]
    facts: dict[str, Any] = _read(ws.root / asset_id.evidence_path / FACTS_FILE) or {}
    if not {"seconds", "ledger_entry"} <= facts.keys():
        return []
    devices = 1 if node(asset_id.asset).device else 0
    return [PastCost(int(facts["ledger_entry"]), float(facts["seconds"]), devices, str(facts.get("device_class", "")))]


def planned_costs(ws: Workspace, params: Params, items: Iterable[PlanItem]) -> list[PlannedCost]:
    """Each row of a plan with what it is expected to take; what is reused takes nothing."""
    return [PlannedCost(item, NOTHING if item.action == "reuse" else expected(ws, params, item.id)) for item in items]


def expected(ws: Workspace, params: Params, asset_id: AssetId) -> Expected | None:
    """The median over the newest runs of the same asset, or else of other partitions of it; None without any.

    Where only the amount of work changed, the time follows it; a run over other devices is counted in device-seconds.
    """
    own = past_costs(ws, asset_id)[-COUNTED_RUNS:]
    others = () if own else _other_partitions(ws, params, asset_id)
    alike = [past for past in own if past.settings == _settings(params, asset_id)]
    chosen = alike or own or others
    if not chosen:
        return None
    devices = _devices(params, asset_id)
    seconds = median(_scaled(params, asset_id, past) for past in chosen)
    scaled = any(past.work not in (None, _work(params, asset_id)) for past in chosen)
    return Expected(seconds, seconds * devices, _basis(asset_id, len(chosen), bool(alike), bool(own), scaled))


def total(rows: Sequence[PlannedCost]) -> Total:
    """The sum of the rows that are known, as if one followed the other."""
    known = [row.expected for row in rows if row.expected is not None]
    hours = sum(one.device_seconds for one in known) / 3600
    return Total(len(rows), sum(one.seconds for one in known), hours, len(rows) - len(known))


def _scaled(params: Params, asset_id: AssetId, past: PastCost) -> float:
    """The seconds of a past run, had it had the work and the devices of now.

    What is beyond its own work goes at the rate that was measured; without a rate, or for less work, in proportion at
    the least, as what does not grow with the work is not known.
    """
    seconds, work = past.seconds, _work(params, asset_id)
    if past.work and work is not None and work != past.work:
        in_proportion = past.seconds * work / past.work
        more = (work - past.work) * WORK[asset_id.asset].each
        seconds = max(past.seconds + more / past.rate, min(in_proportion, past.seconds)) if past.rate else in_proportion
    devices = _devices(params, asset_id)
    return seconds * past.devices / devices if devices and past.devices else seconds


def _basis(asset_id: AssetId, count: int, alike: bool, own: bool, scaled: bool) -> str:
    runs = f"{count} run{'' if count == 1 else 's'}"
    if not own:
        runs += " of other partitions"
    elif not alike:
        runs += " of other settings"
    return f"{runs}, scaled by {WORK[asset_id.asset].key.rpartition('.')[2]}" if scaled else runs


def _other_partitions(ws: Workspace, params: Params, asset_id: AssetId) -> list[PastCost]:
    if asset_id.partition is None:
        return []
    siblings = (AssetId(asset_id.asset, key) for key in params.attributes if key != asset_id.partition)
    return [past for sibling in siblings for past in past_costs(ws, sibling)[-1:]]


def _work(params: Params, asset_id: AssetId) -> float | None:
    """How much work the settings ask of an asset; None where no setting says (photographs, for one)."""
    work = WORK.get(asset_id.asset)
    if work is None or (work.key.startswith("images.renderer") and params.images.source != "renderer"):
        return None
    (value,) = resolve(params, (work.key,), asset_id.partition).values()
    return float(value) if isinstance(value, int | float) else None


def _settings(params: Params, asset_id: AssetId) -> str:
    """A digest of the settings that an asset reads, the amount of its work left out."""
    document = resolve(params, node(asset_id.asset).params, asset_id.partition)
    work = WORK[asset_id.asset].key if asset_id.asset in WORK else ""
    # `resolve` has merged a partition's own values into the section that they replace.
    merged = f"attributes.{asset_id.partition}.{work.partition('.')[0]}"
    rows = [row for row in _leaves("", document) if not work or (row[0] != work and not row[0].startswith(merged))]
    text = json.dumps(sorted(rows, key=lambda row: row[0]), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _leaves(prefix: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value


def _devices(params: Params, asset_id: AssetId) -> int:
    return request_of(params, asset_id.asset).devices if node(asset_id.asset).device else 0


def _file(ws: Workspace, asset_id: AssetId) -> Path:
    return ws.state / COSTS / "/".join((*asset_id.parts[:-1], f"{asset_id.parts[-1]}.json"))


def _read(path: Path) -> Any:
    """A JSON document; None where it is not there or broken: an expectation is never worth a failed plan."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
