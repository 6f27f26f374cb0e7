"""Workspaces whose photographs come from a folder, with an inbox beside it; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from orchestration.graph import AssetId, expand
from orchestration.new_workspace import presets
from orchestration.plan import wanted
from orchestration.store import keys
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace
from tests.orchestration.decided import decide_by_hand, write_policy

FIRST = 6
INGEST = {"path": "photos", "consent_default": "granted", "attested_by": "A. Person"}


def photo(path: Path, seed: int) -> Path:
    """A photograph of nobody, other bytes for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(small).resize((80, 72), Image.Resampling.BICUBIC).save(path)
    return path


def broken(path: Path) -> Path:
    """A photograph that was cut off."""
    whole = photo(path, 999).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def drop(inbox: Path, seeds: Iterable[int]) -> None:
    """Photographs arrive."""
    for seed in seeds:
        photo(inbox / f"{seed:03d}.png", seed)


def folder_params(document: dict[str, Any], automation: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of a preset, with photographs from a folder and one attribute."""
    document["images"] = {**document["images"], "source": "folder", "ingest": INGEST}
    document["aligned_images"]["detector"] = "dlib"
    document["attributes"] = {"beard": {}}
    document["automation"] = dict(automation or {})
    return document


def watched(path: str = "inbox", **changes: Any) -> dict[str, Any]:
    """The section that watches an inbox: four new photographs are enough, complete after ten seconds."""
    return {"inbox": {"enabled": True, "path": path, "debounce_s": 10, "threshold": 4, **changes}}


def bare(root: Path, automation: Mapping[str, Any] | None = None, path: str = "inbox") -> Workspace:
    """A workspace without repositories: a few photographs ingested, an inbox, nothing made."""
    document = folder_params(yaml.safe_load(presets()["smoke"].read_text()), automation or watched(path))
    (root / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    drop(root / "photos", range(FIRST))
    (root / "inbox").mkdir()
    keys.create(root)
    ws = Workspace.at(root)
    write_policy(ws)
    return ws


def make_all(ws: Workspace) -> None:
    """Every asset is published, with what it would be made from."""
    for asset_id in expand(list(ws.params().attributes)):
        make(ws, asset_id)


def make(ws: Workspace, asset_id: AssetId, content: str = "") -> None:
    record = wanted(ws, ws.params(), asset_id)
    with staging_dir(ws.root, asset_id) as staged:
        (staged / "a.json").write_text(content or str(asset_id))
        publish(ws.root, PublishRecord(wanted=record), staged, commit_dvc=False)
    decide_by_hand(ws, asset_id)
