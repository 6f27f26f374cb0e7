"""Files of the user's own, settings and what params.yaml names: an asset is made again when their bytes change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.errors import UserError
from orchestration.graph import AssetId, node
from orchestration.params import Params
from orchestration.photo_folder import photographs_digest
from orchestration.sections import Ingest
from orchestration.store import ledger
from training.mask_config import MaskConfig, file_digest, mask_file

FILE, MODULE, FOLDER = "file:", "module:", "folder:"
"""What an input's name begins with when it is no asset: the path, or the module, as params.yaml has it."""

_READS_MASK = frozenset({"edit_pairs", "edit_pairs.mask"})


def outside_files(root: Path, params: Params, asset_id: AssetId) -> Mapping[str, str]:
    """Name → sha256 of each file of the user's that `asset_id` reads: settings, photographs, the source of its masks.

    A module counts by its own source, not by what it imports. Raises UserError when a file is missing.
    """
    settings = {f"{FILE}{name}": setting_digest(root, name) for name in node(asset_id.asset).settings}
    masks = {name: file_digest(path) for name, path in _mask_files(root, params, asset_id).items()}
    return {**settings, **_photographs(root, params, asset_id), **masks}


def own_files(root: Path, params: Params, asset_id: AssetId) -> Mapping[str, Path]:
    """Where the files stand that `outside_files` names for a bulk step, which reads no photographs."""
    settings = {f"{FILE}{name}": root / name for name in node(asset_id.asset).settings}
    return {**settings, **_mask_files(root, params, asset_id)}


def ingest_of(params: Params, asset_id: AssetId) -> Ingest | None:
    """The folder of photographs that `asset_id` ingests, if it does."""
    if asset_id.asset == "images":
        return params.images.ingest if params.images.source == "folder" else None
    own = params.attributes.get(asset_id.partition or "") if asset_id.asset == "attribute_images" else None
    return own.attribute_images if own is not None else None


def _photographs(root: Path, params: Params, asset_id: AssetId) -> Mapping[str, str]:
    """A folder that is not there, as on a machine without the photographs, does not speak against what was made."""
    ingest = ingest_of(params, asset_id)
    if ingest is None:
        return {}
    name = f"{FOLDER}{ingest.path}"
    digest = photographs_digest(root, ingest)
    if digest is None:
        last = ledger.last_entry(root, asset_id.asset, asset_id.partition)
        digest = last.materialization.wanted.inputs.get(name) if last is not None else None
    return {name: digest or "missing"}


def setting_digest(root: Path, name: str) -> str:
    """sha256 of a settings file of the workspace; raises UserError when it is missing."""
    if not (root / name).is_file():
        raise UserError(f"{root / name} is missing.", "Copy it from a new workspace.")
    return file_digest(root / name)


def _mask_files(root: Path, params: Params, asset_id: AssetId) -> Mapping[str, Path]:
    if not _READS_MASK.intersection(node(asset_id.asset).params):
        return {}
    own = params.for_attribute(asset_id.partition) if asset_id.partition else params
    config = MaskConfig(**own.edit_pairs.mask.model_dump())
    file = mask_file(config, root)
    if file is None:
        return {}
    return {_name(config): file}


def place(name: str) -> str:
    """Where an input of this name stands: the user's file, or an asset's payload relative to the workspace."""
    if name.startswith((FILE, MODULE, FOLDER)):
        return name.partition(":")[2]
    return AssetId.parse(name).path.as_posix()


def _name(config: MaskConfig) -> str:
    if config.source == "onnx":
        return f"{FILE}{config.onnx.path}"
    return f"{MODULE}{str(config.entry_point).partition(':')[0]}"
