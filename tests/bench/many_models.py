"""A workspace as it may be after years: one image set of millions, and a ledger of thousands of models made from it."""

from __future__ import annotations

import binascii
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.image_set import DATASET
from data.manifest import ALIGNED_SCHEMA, MANIFEST
from orchestration.graph import GRAPH, AssetId
from orchestration.store import database, ledger
from orchestration.store.publish import publish
from orchestration.store.records import Materialization, PublishRecord, Wanted
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace

BLOCK = 500_000
IMAGES_PER_SUBJECT = 4
EDITORS_PER_NETWORK = 100
CHAIN = ("feature_network", "edit_pairs", "attribute_editor", "attribute_report", "fusion_report", "attribute_release")
PARTS = {"train": "a" * 64, "held_out": "b" * 64}


def make_workspace(root: Path, images: int, models: int) -> dict[str, str]:
    """Make it in `root`; returns the hashes of a training image and a held-out one, and a model's version."""
    ws = Workspace.new(root, "smoke")
    known = _publish_images(ws, images)
    return {**known, "editor": _append_models(ws, models)}


def _publish_images(ws: Workspace, count: int) -> dict[str, str]:
    asset = AssetId("aligned_images")
    with staging_dir(ws.root, asset) as staged:
        known = _write_manifest(staged / MANIFEST, count)
        splits = {"train": count - -(-count // 4), "test": -(-count // 4), "validation": 0}
        document = {"kind": asset.asset, "count": count, "dataset_root": "c" * 64, "parts": PARTS, "splits": splits}
        (staged / DATASET).write_text(json.dumps({**document, "quarantined": {}, "sources": {}}))
        publish(ws.root, PublishRecord(wanted=_wanted(asset, {})), staged, commit_dvc=False)
    return known


def _write_manifest(path: Path, count: int) -> dict[str, str]:
    """Every fourth image is held out; the hashes are random and sorted."""
    known: dict[str, str] = {}
    with pq.ParquetWriter(path, ALIGNED_SCHEMA, compression="zstd", store_schema=False) as writer:
        for first, table in _blocks(count):
            writer.write_table(table, row_group_size=BLOCK)
            if first == 0:
                known = {"train": table["sha256"][1].as_py(), "held_out": table["sha256"][0].as_py()}
    return known


def _blocks(count: int) -> Iterator[tuple[int, pa.Table]]:
    blocks = -(-count // BLOCK)
    for number in range(blocks):
        rows = min(BLOCK, count - number * BLOCK)
        rng = np.random.default_rng(number)
        low, high = number * 2**32 // blocks, (number + 1) * 2**32 // blocks
        prefixes = np.sort(rng.integers(low, high, rows, dtype=np.uint64)).astype(">u4")
        place = pa.array(np.arange(number * BLOCK, number * BLOCK + rows))
        columns = {
            name: pa.nulls(rows, kind) for name, kind in zip(ALIGNED_SCHEMA.names, ALIGNED_SCHEMA.types, strict=True)
        }
        columns |= {
            "sha256": _hashes(prefixes, rng),
            "parent": _hashes(rng.integers(0, 2**32, rows, dtype=np.uint64).astype(">u4"), rng),
            "source_sha256": _hashes(rng.integers(0, 2**32, rows, dtype=np.uint64).astype(">u4"), rng),
            "source": pc.binary_join_element_wise("photo-", place.cast(pa.string()), ""),
            "subject": pc.binary_join_element_wise(
                "person-", pc.divide(place, IMAGES_PER_SUBJECT).cast(pa.string()), ""
            ),
            "licence": pa.array(["CC-BY-4.0"] * rows),
            "consent": pa.array(["granted"] * rows),
            "split": pc.if_else(pc.equal(pc.bit_wise_and(place, 3), 0), "test", "train"),
        }
        yield number * BLOCK, pa.table(columns, schema=ALIGNED_SCHEMA)


def _hashes(prefixes: np.ndarray, rng: np.random.Generator) -> pa.Array:
    """Random sha256 that begin with the given 32 bits, as hex: strings that share one buffer."""
    digests = rng.integers(0, 256, (len(prefixes), 32), dtype=np.uint8)
    digests[:, :4] = prefixes.view(np.uint8).reshape(-1, 4)
    text, offsets = binascii.hexlify(digests.tobytes()), np.arange(len(prefixes) + 1, dtype=np.int32) * 64
    return pa.StringArray.from_buffers(len(prefixes), pa.py_buffer(offsets.tobytes()), pa.py_buffer(text))


def _append_models(ws: Workspace, models: int) -> str:
    """Chains of every asset up to the release, 100 to an original network; returns the last editor's version."""
    images = ledger.entries(ws.root)[0].materialization.data_version
    editor = ""
    with database.writing(ws.root) as connection:
        for model in range(models):
            if model % EDITORS_PER_NETWORK == 0:
                made = {"aligned_images": images}
                for name in ("judges", "original_network", "original_report"):
                    made[name] = _append(ws, connection, AssetId(name), f"{name}/{model}", made)
            partition = f"attribute_{model % EDITORS_PER_NETWORK}"
            own = dict(made)
            chosen = AssetId("attribute_images", partition)
            own[str(chosen)] = _append(ws, connection, chosen, f"{chosen}/{model}", own)
            for name in CHAIN:
                asset = AssetId(name, partition)
                own[str(asset)] = _append(ws, connection, asset, f"{asset}/{model}", own)
            editor = own[f"attribute_editor[{partition}]"]
    return editor


def _append(ws: Workspace, connection: sqlite3.Connection, asset: AssetId, seed: str, made: dict[str, str]) -> str:
    version = hashlib.sha256(seed.encode()).hexdigest()
    names = [str(AssetId(dep, asset.partition if GRAPH[dep].partition else None)) for dep in GRAPH[asset.asset].deps]
    body = Materialization(
        wanted=_wanted(asset, {name: made[name] for name in names if name in made}), data_version=version,
        dvc_md5=f"{version[:32]}.dir", size_bytes=1, files=1, git_commit="d" * 40, git_clean=True, environment="e" * 64,
        dagster_run=None, mlflow_run=None,
    )  # fmt: skip
    ledger.append(ws.root, connection, ledger.MATERIALIZATION, str(asset), body.model_dump(mode="json"))
    return version


def _wanted(asset: AssetId, inputs: dict[str, str]) -> Wanted:
    reads = GRAPH[asset.asset].reads
    return Wanted(
        asset=asset.asset, partition=asset.partition, code_version="1", params_digest="p", params={}, seed=0,
        inputs=inputs, parts={n: PARTS[reads[n]] for n in inputs if n in reads}, device_class="any",
    )  # fmt: skip
