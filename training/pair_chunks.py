"""Pairs on the way: what one stretch of candidates gave, as a tar that a stopped run finds again."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from data import fail_points
from data.whole_file import written_whole
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
    """Write some pairs and the counts of what was dropped beside them as one tar, atomically; raises DiskFullError."""
    measures = [asdict(pair.measures) for pair in pairs]
    rows = {"measures": measures, "counts": counts, "sha256": _digest(pair.parts for pair in pairs)}
    with written_whole(path, "pairs") as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        add_member(tar, _ROWS, json.dumps(rows).encode())  # first, so that a reader need not pass over the images
        for pair in pairs:
            for name, payload in zip(PARTS, pair.parts, strict=True):
                add_member(tar, member_name(pair.measures.index, name), payload)
    fail_points.reach("pairs-saved")


def is_whole(path: Path) -> bool:
    """Whether a chunk is there with the very bytes that were written; reads all of it."""
    if not path.is_file():
        return False
    try:
        with tarfile.open(path, "r:") as tar:
            said = json.loads(_next_payloads(tar, [_ROWS])[0])["sha256"]
        return bool(said == _digest(pair.parts for pair in read_pairs(path)))
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError):
        return False


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


def _digest(pairs: Iterable[tuple[bytes, bytes, bytes]]) -> str:
    """sha256, in hexadecimal, of the images of some pairs."""
    digest = hashlib.sha256()
    for parts in pairs:
        for payload in parts:
            digest.update(len(payload).to_bytes(8, "big") + payload)
    return digest.hexdigest()


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
