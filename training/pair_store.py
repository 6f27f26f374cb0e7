"""Training pairs on disk: tar shards of PNG triples with a Parquet index, the same bytes for the same pairs.

Both are written and read a pair at a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.errors import UserError
from data.png import Pixels, decode_png, encode_png

PAIRS_PER_SHARD = 1000
INDEX = "pairs.parquet"
SHARDS = "shards"
PARTS = ("original", "target", "mask")
MEMORY_LIMIT_BYTES = 2**30


@dataclass(frozen=True)
class PairMeasures:
    """What is known of one pair: a function of (seed, index), which are those of its latent and its layer noise.

    Changes are mean absolute shares of the range, inside and outside the joint mask. `psnr_outside` is in dB, outside
    the region of either image, at most 60.
    """

    seed: int
    index: int
    mask_area: float
    change_inside: float
    change_outside: float
    psnr_outside: float
    probability_before: float
    probability_after: float
    identity_cosine: float


MEASURES = tuple(field.name for field in fields(PairMeasures) if field.name not in ("seed", "index"))
_SCHEMA = pa.schema(
    [("seed", pa.int64()), ("index", pa.int64())]
    + [(name, pa.float64()) for name in MEASURES]
    + [("shard", pa.string())]
    + [(f"{part}_{what}", pa.int64()) for part in PARTS for what in ("offset", "length")]
)


@dataclass(frozen=True)
class StoredPair:
    """One pair as PNG bytes of original, target and mask, with its measures."""

    parts: tuple[bytes, bytes, bytes]
    measures: PairMeasures


@dataclass(frozen=True)
class PairArrays:
    """Pairs in memory: uint8 originals and targets N×H×W×3, masks N×H×W with 255 = may change."""

    originals: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.originals)


@dataclass(frozen=True)
class PairsWritten:
    """How many pairs were written, and the mean of each measure (0 where there are none)."""

    count: int
    means: dict[str, float]


def encode_pair(
    original: NDArray[np.uint8], target: NDArray[np.uint8], mask: NDArray[np.uint8], measures: PairMeasures
) -> StoredPair:
    """A pair as PNG bytes; images uint8 H×W×3, mask uint8 H×W."""
    return StoredPair((encode_png(original), encode_png(target), encode_png(mask)), measures)


def write_pairs(out: Path, pairs: Iterable[StoredPair]) -> PairsWritten:
    """Write pairs as shards of about 1,000 and the index `pairs.parquet`, one at a time."""
    with PairWriter(out) as writer:
        for pair in pairs:
            writer.add(pair)
    return writer.written


class PairWriter:
    """Writes pairs as they come; what it holds is one shard's rows of the index and running sums."""

    def __init__(self, out: Path) -> None:
        (out / SHARDS).mkdir(parents=True, exist_ok=True)
        self._out = out
        self._count = 0
        self._sums = dict.fromkeys(MEASURES, 0.0)
        self._rows: list[dict[str, object]] = []
        self._shard: tarfile.TarFile | None = None
        self._index = pq.ParquetWriter(out / INDEX, _SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_shard()
        self._index.close()

    @property
    def written(self) -> PairsWritten:
        """Count and means of what was added so far."""
        return PairsWritten(self._count, {name: total / max(self._count, 1) for name, total in self._sums.items()})

    def add(self, pair: StoredPair) -> None:
        """Append a pair to the shard at hand, or to a new one where that is full."""
        number, place = divmod(self._count, PAIRS_PER_SHARD)
        name = f"{SHARDS}/{number:04d}.tar"
        if self._shard is None or place == 0:
            self._end_shard()
            self._shard = tarfile.open(self._out / name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        row: dict[str, object] = {**asdict(pair.measures), "shard": name}
        for part, payload in zip(PARTS, pair.parts, strict=True):
            offset = add_member(self._shard, member_name(pair.measures.index, part), payload)
            row |= {f"{part}_offset": offset, f"{part}_length": len(payload)}
        self._rows.append(row)
        self._count += 1
        for measure in MEASURES:
            self._sums[measure] += getattr(pair.measures, measure)

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._index.write_table(pa.Table.from_pylist(self._rows, schema=_SCHEMA))  # one row group a shard
        self._shard, self._rows = None, []


def open_pairs(directory: Path, memory_limit_bytes: int = MEMORY_LIMIT_BYTES) -> PairReader:
    """A reader of a payload of `edit_pairs`; raises UserError where there are no pairs."""
    if not (directory / INDEX).is_file():
        raise UserError(f"{directory / INDEX} is missing.", "Build the pairs first: editloom run --select edit_pairs")
    reader = PairReader(directory, memory_limit_bytes)
    if not len(reader):
        raise UserError(
            f"{directory / INDEX} lists no pair.", "Raise edit_pairs.count or lower edit_pairs.min_probability."
        )
    return reader


class PairReader:
    """Pairs by row of the index, decoded when they are asked for.

    Where the whole set decoded is under `memory_limit_bytes`, what was decoded once stays in memory; else nothing does.
    """

    def __init__(self, directory: Path, memory_limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
        self.directory = directory
        places = [f"{part}_{what}" for part in PARTS for what in ("offset", "length")]
        index = pq.read_table(directory / INDEX, columns=["index", "shard", *places])
        self.indices: NDArray[np.int64] = np.array(index["index"])  # writable, as torch asks
        """Each row's candidate number, N."""
        self._shards = index["shard"].combine_chunks().dictionary_encode()
        self._places = np.stack([index[name].to_numpy() for name in places], axis=1)  # N×6
        self._memory_limit_bytes = memory_limit_bytes

    def __len__(self) -> int:
        return len(self._places)

    @cached_property
    def size_px(self) -> int:
        """Side of the images in px."""
        return int(self._decode(0)[0].shape[0])

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the index and the shards: what names these pairs."""
        digest = hashlib.sha256()
        for path in [self.directory / INDEX, *sorted((self.directory / SHARDS).iterdir())]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def batch(self, rows: NDArray[np.int64]) -> PairArrays:
        """The pairs of some rows of the index, in their order; repeats are allowed. The arrays are the caller's own."""
        if self._memory is None:
            fresh = _empty(len(rows), self.size_px)
            for place, row in enumerate(rows.tolist()):
                _put(fresh, place, self._decode(row))
            return fresh
        memory, known = self._memory
        for row in np.unique(rows[~known[rows]]).tolist():
            _put(memory, row, self._decode(row))
            known[row] = True
        return PairArrays(memory.originals[rows], memory.targets[rows], memory.masks[rows])

    @cached_property
    def _memory(self) -> tuple[PairArrays, NDArray[np.bool_]] | None:
        """Room for all pairs, and which are there; None where they are too many."""
        if len(self) * self.size_px**2 * 7 > self._memory_limit_bytes:  # bytes a pixel: 3 + 3 + 1
            return None
        return _empty(len(self), self.size_px), np.zeros(len(self), dtype=bool)

    def _decode(self, row: int) -> list[Pixels]:
        places = self._places[row].tolist()
        with (self.directory / self._shards[row].as_py()).open("rb") as shard:
            return [_read_image(shard, *places[2 * part : 2 * part + 2]) for part in range(len(PARTS))]


def member_name(index: int, part: str) -> str:
    """The name of an image in a tar: its candidate's number and which of the pair's parts it is."""
    return f"{index:07d}.{part}.png"


def add_member(tar: tarfile.TarFile, name: str, payload: bytes) -> int:
    """Append a file to a tar opened for writing; returns where its bytes begin."""
    header = tarfile.TarInfo(name)  # mtime, uid and gid are 0 by default
    header.size = len(payload)
    offset = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(header, io.BytesIO(payload))
    tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
    return offset


def _read_image(shard: IO[bytes], offset: int, length: int) -> Pixels:
    shard.seek(offset)
    return decode_png(shard.read(length))


def _empty(count: int, size_px: int) -> PairArrays:
    shape = (count, size_px, size_px)
    return PairArrays(np.empty((*shape, 3), np.uint8), np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8))


def _put(arrays: PairArrays, row: int, images: Sequence[Pixels]) -> None:
    arrays.originals[row], arrays.targets[row] = images[0], images[1]
    arrays.masks[row] = images[2][..., 0]
