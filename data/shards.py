"""Image sets in few files: deterministic tar shards, an image's shard given by the first bits of its hash.

Adding or removing one image so rewrites one shard; readers find an image by the manifest's shard, offset and length.
"""

from __future__ import annotations

import hashlib
import io
import math
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.png import Pixels, decode_png

IMAGES_PER_SHARD = 1000
SHARDS = "shards"
_MAX_BITS = 16


@dataclass(frozen=True)
class Location:
    """Where an image's bytes lie: the shard's path inside the payload, offset and length in bytes."""

    shard: str
    offset: int
    length: int


def shard_bits(count: int) -> int:
    """How many leading bits of a hash name a shard, for `count` images: about 1,000 a shard.

    Rounded on the logarithm, so that the number of shards changes far from round counts.
    """
    return 0 if count <= 0 else min(max(round(math.log2(count / IMAGES_PER_SHARD)), 0), _MAX_BITS)


def shard_of(sha256: str, bits: int) -> str:
    """The shard's file name: the hash's first `bits` bits, as at least two hexadecimal digits."""
    prefix = int(sha256[:8], 16) >> (32 - bits)
    return f"{prefix:0{max(2, math.ceil(bits / 4))}x}.tar"


class ShardWriter:
    """Collects payloads in any order and writes them as shards, sorted by hash, when it closes.

    The payloads wait in an unnamed file beside the shards, not in memory: photographs may be many gigabytes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 – closed by __exit__
        self._spans: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._spool.close()

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._spans

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, payload: bytes) -> str:
        """Takes one image's bytes and returns their sha256; bytes that are there already are kept once."""
        sha256 = hashlib.sha256(payload).hexdigest()
        if sha256 not in self._spans:
            self._spans[sha256] = (self._spool.seek(0, io.SEEK_END), len(payload))
            self._spool.write(payload)
        return sha256

    def write(self) -> dict[str, Location]:
        """Writes every shard and returns each hash's location."""
        bits = shard_bits(len(self._spans))
        shards: dict[str, list[str]] = {}
        for sha256 in sorted(self._spans):
            shards.setdefault(shard_of(sha256, bits), []).append(sha256)
        (self._directory / SHARDS).mkdir(exist_ok=True)
        return {sha: where for name, members in shards.items() for sha, where in self._write_shard(name, members)}

    def _write_shard(self, name: str, members: list[str]) -> list[tuple[str, Location]]:
        places = []
        with tarfile.open(self._directory / SHARDS / name, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sha256 in members:
                start, length = self._spans[sha256]
                header = tarfile.TarInfo(f"{sha256}.png")  # mtime, uid and gid are 0 and mode 0644 by default
                header.size = length
                offset = tar.offset + tarfile.BLOCKSIZE
                self._spool.seek(start)
                tar.addfile(header, self._spool)
                places.append((sha256, Location(f"{SHARDS}/{name}", offset, length)))
        return places


def write_shards(directory: Path, payloads: Iterable[bytes]) -> dict[str, Location]:
    """Writes image bytes as shards under `directory`; returns sha256 → location."""
    with ShardWriter(directory) as writer:
        for payload in payloads:
            writer.add(payload)
        return writer.write()


def iter_payloads(directory: Path, manifest: pd.DataFrame) -> Iterator[bytes]:
    """The stored bytes of each manifest row, in manifest order."""
    opened: dict[str, IO[bytes]] = {}
    try:
        rows = zip(manifest["shard"], manifest["offset"], manifest["length"], strict=True)
        for shard, offset, length in rows:
            if shard not in opened:
                opened[shard] = (directory / shard).open("rb")
            opened[shard].seek(int(offset))
            yield opened[shard].read(int(length))
    finally:
        for file in opened.values():
            file.close()


def iter_images(directory: Path, manifest: pd.DataFrame) -> Iterator[Pixels]:
    """Each manifest row's image, uint8 H×W×3 RGB, in manifest order; sizes may differ."""
    return map(decode_png, iter_payloads(directory, manifest))


def read_images(directory: Path, manifest: pd.DataFrame) -> NDArray[np.uint8]:
    """All images of the manifest's rows, uint8 N×H×W×3, in manifest order.

    Raises ValueError when they are not all of one size.
    """
    sizes = sorted(set(zip(manifest["height"], manifest["width"], strict=True)))
    if len(sizes) > 1:
        raise ValueError(f"images of {len(sizes)} sizes cannot be one array: {sizes[:4]}; align them first")
    height, width = sizes[0] if sizes else (0, 0)
    images = np.empty((len(manifest), height, width, 3), np.uint8)
    for index, image in enumerate(iter_images(directory, manifest)):
        images[index] = image
    return images
