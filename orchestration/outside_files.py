"""Files of the user's own, settings and what params.yaml names: an asset is made again when their bytes change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.errors import UserError
from orchestration.graph import AssetId, node
from orchestration.params import Params
from training.mask_config import MaskConfig, file_digest, mask_file

FILE, MODULE = "file:", "module:"
"""What an input's name begins with when it is no asset: the path, or the module, as params.yaml has it."""

_READS_MASK = frozenset({"edit_pairs", "edit_pairs.mask"})


def outside_files(root: Path, params: Params, asset_id: AssetId) -> Mapping[str, str]:
    """Name → sha256 of each file of the user's that `asset_id` reads: its settings and the source of its masks.

    A module counts by its own source, not by what it imports. Raises UserError when a file is missing.
    """
    settings = {f"{FILE}{name}": setting_digest(root, name) for name in node(asset_id.asset).settings}
    return {**settings, **_mask_files(root, params, asset_id)}


def setting_digest(root: Path, name: str) -> str:
    """sha256 of a settings file of the workspace; raises UserError when it is missing."""
    if not (root / name).is_file():
        raise UserError(f"{root / name} is missing.", "Copy it from a new workspace.")
    return file_digest(root / name)


def _mask_files(root: Path, params: Params, asset_id: AssetId) -> Mapping[str, str]:
    if not _READS_MASK.intersection(node(asset_id.asset).params):
        return {}
    own = params.for_attribute(asset_id.partition) if asset_id.partition else params
    config = MaskConfig(**own.edit_pairs.mask.model_dump())
    file = mask_file(config, root)
    if file is None:
        return {}
    return {_name(config): file_digest(file)}


def place(name: str) -> str:
    """Where an input of this name stands: the user's file, or an asset's payload relative to the workspace."""
    if name.startswith((FILE, MODULE)):
        return name.partition(":")[2]
    return AssetId.parse(name).path.as_posix()


def _name(config: MaskConfig) -> str:
    if config.source == "onnx":
        return f"{FILE}{config.onnx.path}"
    return f"{MODULE}{str(config.entry_point).partition(':')[0]}"
