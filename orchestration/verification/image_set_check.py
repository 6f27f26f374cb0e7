"""An image set in itself: its roots recomputed from the manifest, each image's bytes against its hash."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from data.image_set import DATASET, read_dataset, recomputed_parts
from data.manifest import MANIFEST, dataset_root, read_manifest
from orchestration.verification.recorded import SHOWN_DIGITS

MOST_NAMED = 5
_PLACES = ("sha256", "shard", "offset", "length")


def root_faults(folder: Path) -> Iterator[str]:
    """What dataset.json says of its images and does not follow from the manifest beside it."""
    try:
        document, frame = read_dataset(folder), read_manifest(folder)
        told, parts = document.get("dataset_root"), document.get("parts", {})
        if dataset_root(frame["sha256"]) != told:
            yield f"{DATASET}: its dataset root is not that of the manifest"
        if parts and recomputed_parts(frame, document) != parts:
            yield f"{DATASET}: the roots of its parts are not those of the manifest"
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        yield f"{DATASET} or {MANIFEST} cannot be read: {error}"


def image_faults(folder: Path) -> Iterator[str]:
    """Each image whose bytes have another hash than its row in the manifest, by hash and shard."""
    for shard, rows in _by_shard(folder).items():
        try:
            with (folder / shard).open("rb") as stream:
                yield from _shard_faults(shard, rows, _names(folder / shard), stream)
        except (OSError, tarfile.TarError) as error:
            yield f"{shard} cannot be read as a tar file: {error}"


def described(faults: Iterator[str]) -> str:
    """The first few faults, and how many more there are."""
    found = list(faults)
    more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return "; ".join(found[:MOST_NAMED]) + more


def _shard_faults(
    shard: str, rows: list[tuple[str, int, int]], names: dict[int, str], stream: IO[bytes]
) -> Iterator[str]:
    for sha256, offset, length in rows:
        stream.seek(offset)
        if hashlib.sha256(stream.read(length)).hexdigest() != sha256:
            yield f"image {sha256[:SHOWN_DIGITS]} in {shard} has other bytes than its hash"
        elif names.pop(offset, "") != f"{sha256}.png":
            yield f"image {sha256[:SHOWN_DIGITS]} in {shard} bears another name"
    for name in sorted(names.values()):
        yield f"{shard} holds {name}, which the manifest does not know"


def _names(shard: Path) -> dict[int, str]:
    """Member names by where their bytes begin."""
    with tarfile.open(shard) as tar:
        return {member.offset_data: member.name for member in tar}


def _by_shard(folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """(sha256, offset, length) of each row, by shard; none for a manifest that cannot be read."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    try:
        table = pq.read_table(folder / MANIFEST, columns=list(_PLACES))
    except (OSError, pa.ArrowException):
        return found
    for sha256, shard, offset, length in zip(*(table[name].to_pylist() for name in _PLACES), strict=True):
        found.setdefault(str(shard), []).append((str(sha256), int(offset), int(length)))
    return found
