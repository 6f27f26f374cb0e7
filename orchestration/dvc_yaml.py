"""dvc.yaml, written from the asset graph: the same graph for `dvc repro` as for Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data.errors import UserError
from orchestration.code_versions import version_of
from orchestration.dvc_views import metrics, plots
from orchestration.graph import GRAPH, AssetId, AssetNode, expand
from orchestration.params import Params

FILE = "dvc.yaml"
ITEM = "${item.attribute}"
_HEADER = "# Written by `editloom dvc-yaml` from the asset graph and params.yaml. Do not edit: change those.\n"


def render(params: Params) -> str:
    """The text of dvc.yaml: a stage per asset (of a partitioned one a matrix of attributes), metrics and plots."""
    attributes = list(params.attributes)
    nodes = [node for node in GRAPH.values() if attributes or not node.partition]
    document = {
        "stages": {node.name: _stage(node, attributes) for node in nodes},
        "metrics": metrics(attributes),
        "plots": plots(attributes),
    }
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)


def write(root: Path, params: Params) -> bool:
    """Write dvc.yaml when it is out of date; True when it was."""
    if not is_stale(root, params):
        return False
    (root / FILE).write_text(render(params), encoding="utf-8")
    return True


def is_stale(root: Path, params: Params) -> bool:
    """Whether dvc.yaml is missing or differs from what `render` gives."""
    path = root / FILE
    return not path.exists() or path.read_text(encoding="utf-8") != render(params)


def check(root: Path, params: Params) -> None:
    """UserError when dvc.yaml is out of date."""
    if is_stale(root, params):
        message = f"{root / FILE} is out of date with the asset graph or params.yaml."
        raise UserError(message, "Run `editloom dvc-yaml`.")


def stages(params: Params) -> dict[AssetId, Mapping[str, Any]]:
    """Each id's stage as DVC resolves it: `cmd`, `deps` and `params` keys, with the attribute filled in."""
    attributes = list(params.attributes)
    return {asset_id: _resolved(asset_id, attributes) for asset_id in expand(attributes)}


def command(node: AssetNode, partition: str | None) -> str:
    """What DVC runs for a stage; the code version in it makes a new version a change of the stage."""
    chosen = f" --partition {partition}" if partition else ""
    return f"editloom materialize {node.name}{chosen} --code-version {version_of(node.name)}"


def _stage(node: AssetNode, attributes: list[str]) -> dict[str, Any]:
    item = ITEM if node.partition else None
    head: dict[str, Any] = {"matrix": {"attribute": list(attributes)}} if item else {}
    deps = [*(_path(dep, item) for dep in node.deps), *node.settings]
    return {
        **head,
        "desc": node.description,
        "cmd": command(node, item),
        **({"deps": deps} if deps else {}),
        "params": _params(node, item),
        "outs": [{_path(node.name, item): {"persist": True}}],
    }


def _params(node: AssetNode, partition: str | None) -> list[str]:
    """Keys that DVC compares; an attribute's own settings count as one, for an unset key has no place in the file."""
    own = [f"attributes.{partition}"] if any("{partition}" in key for key in node.params) else []
    seed = ["seed"] if node.seeded else []
    return seed + [key for key in node.params if "{partition}" not in key] + own


def _path(asset: str, partition: str | None) -> str:
    return AssetId(asset, partition if GRAPH[asset].partition else None).path.as_posix()


def _resolved(asset_id: AssetId, attributes: list[str]) -> Mapping[str, Any]:
    stage = _stage(GRAPH[asset_id.asset], attributes)
    filled = {key: _filled(stage.get(key, []), asset_id.partition) for key in ("cmd", "deps", "params")}
    return filled


def _filled(value: Any, partition: str | None) -> Any:
    if isinstance(value, list):
        return [_filled(item, partition) for item in value]
    return value.replace(ITEM, partition) if partition else value
