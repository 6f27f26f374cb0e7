"""Payloads published by hand: a lineage in the ledger without any training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from data.manifest import ALIGNED_SCHEMA, IMAGE_SCHEMA, part_roots, write_manifest
from orchestration.graph import AssetId
from orchestration.store.dvc import cache_dir
from orchestration.store.payload import digest_payload
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace
from training.judges import shipped_judges_dir

Write = Callable[[Path], object]
ATTRIBUTE = "beard"


def put(
    ws: Workspace,
    asset: AssetId,
    inputs: Mapping[str, str],
    write: Write,
    params: Mapping[str, Any] | None = None,
    **record: Any,
) -> str:
    """Publish what `write` leaves in a folder as a version of an asset; returns the data version."""
    wanted = Wanted(
        asset=asset.asset, partition=asset.partition, code_version="1", params_digest="p", params=params or {}, seed=0,
        inputs=inputs, device_class="any",
    )  # fmt: skip
    with staging_dir(ws.root, asset) as staged:
        write(staged)
        entry = publish(ws.root, PublishRecord(wanted=wanted, **record), staged, commit_dvc=False)
    _cache(ws, asset)
    return entry.materialization.data_version


def _cache(ws: Workspace, asset: AssetId) -> None:
    """Put a payload where `dvc commit` would, without the seconds that it takes."""
    digest, store = digest_payload(ws.root / asset.path), cache_dir(ws.root)
    listing = [{"md5": file.md5, "relpath": file.path} for file in digest.files]
    for md5, content in {
        **{file.md5: (ws.root / asset.path / file.path).read_bytes() for file in digest.files},
        digest.dvc_md5: json.dumps(listing).encode(),
    }.items():
        (store / md5[:2]).mkdir(parents=True, exist_ok=True)
        (store / md5[:2] / md5[2:]).write_bytes(content)


def image_set(rows: Iterable[tuple[str, str, str]], *, aligned: bool = True) -> Write:
    """A manifest and dataset.json of (sha256, subject, split)."""
    schema = ALIGNED_SCHEMA if aligned else IMAGE_SCHEMA
    known = [
        {**dict.fromkeys(schema.names), "sha256": sha256, "subject": subject, "split": split, "licence": "CC0-1.0",
         "consent": "granted"}
        for sha256, subject, split in rows
    ]  # fmt: skip

    def write(folder: Path) -> None:
        write_manifest(pd.DataFrame(known, columns=schema.names), folder)
        parts = part_roots(pd.DataFrame(known, columns=schema.names), {})
        splits = {split: sum(row["split"] == split for row in known) for split in ("test", "train", "validation")}
        document = {
            "count": len(known),
            "dataset_root": "r" * 64,
            "splits": splits,
            "sources": {"renderer": {}},
            "parts": parts,
        }
        (folder / "dataset.json").write_text(json.dumps(document))

    return write


def judge_set(change: Callable[[dict[str, Any]], None] = lambda judges: None) -> Write:
    """The shipped judges' judges.json, its records changed by `change`."""

    def write(folder: Path) -> None:
        manifest = json.loads((shipped_judges_dir() / "judges.json").read_text())
        change(manifest["judges"])
        (folder / "judges.json").write_text(json.dumps(manifest))

    return write


def text(name: str, content: str = "{}") -> Write:
    """One small file."""
    return lambda folder: (folder / name).write_text(content)


FACES = [(f"{n:064x}", f"renderer:{10_000_000 + n}", "test" if n < 5 else "train") for n in range(20)]


def chain(
    ws: Workspace,
    *,
    trained_on: Iterable[tuple[str, str, str]] = tuple(FACES),
    judges: Write | None = None,
) -> dict[str, str]:
    """An editor with everything upstream of it, and what a report of it reads: data version by id."""
    judged = {"judges": put(ws, AssetId("judges"), {}, judge_set())}
    images = {"images": put(ws, AssetId("images"), {}, image_set(trained_on, aligned=False))}
    aligned = {"aligned_images": put(ws, AssetId("aligned_images"), images, image_set(trained_on))}
    own = AssetId("attribute_images", ATTRIBUTE)
    chosen = {str(own): put(ws, own, aligned, image_set(trained_on))}
    start = {"original_network": {"start": "shipped"}}
    original = {"original_network": put(ws, AssetId("original_network"), aligned, text("network.json"), start)}
    feature = AssetId("feature_network", ATTRIBUTE)
    made = {str(feature): put(ws, feature, {**original, **chosen, **judged}, text("network.json"))}
    pairs = AssetId("edit_pairs", ATTRIBUTE)
    paired = {str(pairs): put(ws, pairs, {**original, **made, **judged, **chosen}, text("pairs.json"))}
    editor = AssetId("attribute_editor", ATTRIBUTE)
    edited = {str(editor): put(ws, editor, {**paired, **judged}, text("editor.json"))}
    if judges is not None:
        judged = {"judges": put(ws, AssetId("judges"), {}, judges)}
    return {**edited, **judged, **aligned}
