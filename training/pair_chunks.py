"""Pairs on the way: what one stretch of candidates gave, as a tar that a stopped run finds again."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from training.pair_store import PARTS, PairMeasures, StoredPair, add_member, member_name

_ROWS = "rows.json"


@dataclass(frozen=True)
class ChunkRows:
    """The head of a chunk: the measures of its pairs, and how many candidates were dropped, by reason."""

    measures: tuple[PairMeasures, ...]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.measures)


def write_chunk(path: Path, pairs: list[StoredPair], counts: dict[str, int]) -> None:
    """Write some pairs and the counts of what was dropped beside them as one tar, atomically."""
    staged = path.with_suffix(".part")
    rows = {"measures": [asdict(pair.measures) for pair in pairs], "counts": counts}
    with tarfile.open(staged, "w", format=tarfile.USTAR_FORMAT) as tar:
        add_member(tar, _ROWS, json.dumps(rows).encode())  # first, so that a reader need not pass over the images
        for pair in pairs:
            for part, payload in zip(PARTS, pair.parts, strict=True):
                add_member(tar, member_name(pair.measures.index, part), payload)
    os.replace(staged, path)


def read_rows(path: Path) -> ChunkRows:
    """The head of a chunk; its images are not read."""
    with tarfile.open(path, "r:") as tar:
        return _head(tar)


def read_pairs(path: Path, limit: int | None = None) -> Iterator[StoredPair]:
    """The first `limit` pairs of a chunk (all by default), one at a time."""
    with tarfile.open(path, "r:") as tar:
        for measures in islice(_head(tar).measures, limit):
            original, target, mask = _next_payloads(tar, (member_name(measures.index, part) for part in PARTS))
            yield StoredPair((original, target, mask), measures)


def _head(tar: tarfile.TarFile) -> ChunkRows:
    (payload,) = _next_payloads(tar, [_ROWS])
    rows = json.loads(payload)
    return ChunkRows(tuple(PairMeasures(**row) for row in rows["measures"]), rows["counts"])


def _next_payloads(tar: tarfile.TarFile, names: Iterable[str]) -> list[bytes]:
    """The next members' bytes; they lie in the order in which they are asked for."""
    payloads = []
    for name in names:
        member = tar.next()
        file = tar.extractfile(member) if member is not None else None
        if member is None or file is None or member.name != name:
            raise ValueError(f"a file of pairs holds {member and member.name} where {name} belongs")
        payloads.append(file.read())
    return payloads
