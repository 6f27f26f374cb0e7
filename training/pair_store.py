"""Training pairs on disk: tar shards of PNG triples with a Parquet index, the same bytes for the same pairs."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.errors import UserError
from data.png import decode_png, encode_png

PAIRS_PER_SHARD = 1000
INDEX = "pairs.parquet"
SHARDS = "shards"
_ROWS = "rows.json"
_PARTS = ("original", "target", "mask")


@dataclass(frozen=True)
class PairMeasures:
    """What is known of one pair; `index` is its candidate's number, changes are mean absolute shares of the range."""

    index: int
    mask_area: float
    change_inside: float
    change_outside: float
    probability_before: float
    probability_after: float
    identity_cosine: float


@dataclass(frozen=True)
class StoredPair:
    """One pair as PNG bytes of original, target and mask, with its measures."""

    parts: tuple[bytes, bytes, bytes]
    measures: PairMeasures


@dataclass(frozen=True)
class PairArrays:
    """All pairs in memory: uint8 originals and targets N×H×W×3, masks N×H×W with 255 = may change."""

    originals: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.originals)


def encode_pair(
    original: NDArray[np.uint8], target: NDArray[np.uint8], mask: NDArray[np.uint8], measures: PairMeasures
) -> StoredPair:
    """A pair as PNG bytes; images uint8 H×W×3, mask uint8 H×W."""
    return StoredPair((encode_png(original), encode_png(target), encode_png(mask)), measures)


def write_chunk(path: Path, pairs: list[StoredPair], counts: dict[str, int]) -> None:
    """Write some pairs and the counts of what was dropped beside them as one tar, atomically."""
    staged = path.with_suffix(".part")
    rows = {"measures": [asdict(pair.measures) for pair in pairs], "counts": counts}
    with tarfile.open(staged, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, _ROWS, json.dumps(rows).encode())
        for pair in pairs:
            _add_pair(tar, pair)
    os.replace(staged, path)


def read_chunk(path: Path) -> tuple[list[StoredPair], dict[str, int]]:
    """Pairs and counts of a file by `write_chunk`."""
    with tarfile.open(path, "r:") as tar:
        members = {member.name: _content(tar, member) for member in tar}
    rows = json.loads(members[_ROWS])
    measures = [PairMeasures(**row) for row in rows["measures"]]
    pairs = []
    for row in measures:
        original, target, mask = (members[_name(row.index, part)] for part in _PARTS)
        pairs.append(StoredPair((original, target, mask), row))
    return pairs, rows["counts"]


def write_pairs(out: Path, pairs: Iterable[StoredPair]) -> list[PairMeasures]:
    """Write pairs as shards of about 1,000 and the index `pairs.parquet`; returns the rows' measures."""
    (out / SHARDS).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    measures: list[PairMeasures] = []
    for number, group in enumerate(_groups(pairs, PAIRS_PER_SHARD)):
        shard = f"{SHARDS}/{number:04d}.tar"
        with tarfile.open(out / shard, "w", format=tarfile.USTAR_FORMAT) as tar:
            rows += [{**asdict(pair.measures), "shard": shard, **_add_pair(tar, pair)} for pair in group]
        measures += [pair.measures for pair in group]
    pq.write_table(pa.Table.from_pylist(rows), out / INDEX)
    return measures


def load_pairs(directory: Path) -> PairArrays:
    """All pairs of a payload of `edit_pairs`; raises UserError where there are none."""
    if not (directory / INDEX).is_file():
        raise UserError(f"{directory / INDEX} is missing.", "Build the pairs first: editloom run --select edit_pairs")
    index = pq.read_table(directory / INDEX).to_pylist()
    if not index:
        raise UserError(
            f"{directory / INDEX} lists no pair.", "Raise edit_pairs.count or lower edit_pairs.min_probability."
        )
    triples = [_read_triple(directory, row) for row in index]
    originals, targets, masks = (np.stack([triple[part] for triple in triples]) for part in range(3))
    return PairArrays(originals, targets, np.ascontiguousarray(masks[..., 0]))


def _read_triple(directory: Path, row: dict[str, object]) -> list[NDArray[np.uint8]]:
    with open(directory / str(row["shard"]), "rb") as shard:
        images = []
        for part in _PARTS:
            shard.seek(int(str(row[f"{part}_offset"])))
            images.append(decode_png(shard.read(int(str(row[f"{part}_length"])))))
    return images


def _groups(pairs: Iterable[StoredPair], size: int) -> Iterator[list[StoredPair]]:
    group: list[StoredPair] = []
    for pair in pairs:
        group.append(pair)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _add_pair(tar: tarfile.TarFile, pair: StoredPair) -> dict[str, int]:
    places: dict[str, int] = {}
    for part, payload in zip(_PARTS, pair.parts, strict=True):
        places[f"{part}_offset"] = tar.offset + tarfile.BLOCKSIZE
        places[f"{part}_length"] = len(payload)
        _add(tar, _name(pair.measures.index, part), payload)
    return places


def _add(tar: tarfile.TarFile, name: str, payload: bytes) -> None:
    header = tarfile.TarInfo(name)  # mtime, uid and gid are 0 by default
    header.size = len(payload)
    tar.addfile(header, io.BytesIO(payload))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is not a file")
    return file.read()


def _name(index: int, part: str) -> str:
    return f"{index:07d}.{part}.png"
