"""Bringing dvc.lock up to what the ledger says, for everything that was published, reused or set differently."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data import fail_points
from orchestration import dvc_yaml
from orchestration.graph import AssetId, inputs_of, node
from orchestration.outside_files import FILE, setting_digest
from orchestration.params import Params
from orchestration.store import dvc, ledger, stat_cache
from orchestration.store.records import Materialization


def sync(root: Path, params: Params) -> list[AssetId]:
    """Commit to DVC every asset whose lock differs from its last ledger entry; returns them.

    An asset that was reused although a key which it does not read changed stands here too: DVC compares whole sections.
    One whose inputs or bytes are not the ledger's is left out: `dvc status` then says so rightly.
    """
    if dvc.under_repro():
        return []
    made = _last_materializations(root, params)
    locked, document = dvc.lock_entries(root), _document(root)
    behind = [
        asset_id
        for asset_id, stage in dvc_yaml.stages(params).items()
        if asset_id in made
        and _is_current(root, asset_id, made)
        and _expected(root, asset_id, stage, made, document) != _locked(locked.get(asset_id.stage, {}))
    ]
    fail_points.reach("lockfile-compared")
    dvc.commit(root, [asset_id.stage for asset_id in behind])
    return behind


def _last_materializations(root: Path, params: Params) -> dict[AssetId, Materialization]:
    entries = ((i, ledger.last_entry(root, i.asset, i.partition)) for i in dvc_yaml.stages(params))
    return {asset_id: entry.materialization for asset_id, entry in entries if entry is not None}


def _is_current(root: Path, asset_id: AssetId, made: Mapping[AssetId, Materialization]) -> bool:
    """Whether its payload is the ledger's, made from the inputs that stand there now."""
    own = made[asset_id]
    for name in node(asset_id.asset).settings:
        if own.wanted.inputs.get(f"{FILE}{name}") != setting_digest(root, name):
            return False
    for dep in inputs_of(asset_id):
        if dep not in made or not _read(own, asset_id, dep, made[dep]):
            return False
    return stat_cache.version_in_place(root, asset_id) == own.data_version


def _read(own: Materialization, asset_id: AssetId, dep: AssetId, now: Materialization) -> bool:
    """Whether an input is the one that was read, or else the part of it that was."""
    if own.wanted.inputs.get(str(dep)) == now.data_version:
        return True
    part = now.parts.get(node(asset_id.asset).reads.get(dep.asset, ""))
    return part is not None and own.wanted.parts.get(str(dep)) == part


def _expected(
    root: Path,
    asset_id: AssetId,
    stage: Mapping[str, Any],
    made: Mapping[AssetId, Materialization],
    document: Mapping[str, Any],
) -> Mapping[str, Any]:
    deps = {dep.path.as_posix(): made[dep].dvc_md5 for dep in inputs_of(asset_id)}
    # DVC's own digest of a file: MD5 of its bytes.
    deps |= {name: hashlib.md5((root / name).read_bytes()).hexdigest() for name in node(asset_id.asset).settings}
    return {
        "cmd": stage["cmd"],
        "deps": deps,
        "params": {key: _follow(document, key) for key in stage["params"]},
        "outs": {asset_id.path.as_posix(): made[asset_id].dvc_md5},
    }


def _locked(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "cmd": entry.get("cmd"),
        "deps": {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])},
        "params": entry.get("params", {}).get("params.yaml", {}),
        "outs": {out["path"]: out.get("md5") for out in entry.get("outs", [])},
    }


def _follow(document: Mapping[str, Any], dotted: str) -> Any:
    value: Any = document
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _document(root: Path) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")) or {}
    return loaded
