"""The hashes of a payload: a Merkle root over its files (the data version), and the md5 that DVC will give it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.merkle import merkle_root

DOMAIN = "editloom-payload"
SAFE_SUFFIXES = frozenset({".safetensors", ".parquet", ".png", ".json", ".html", ".tar", ".md"})
CHUNK_BYTES = 1 << 20


class PayloadError(UserError):
    """A payload that may not be published, or bytes that are not what the ledger says."""


@dataclass(frozen=True)
class FileDigest:
    """One file of a payload; `path` is relative to the payload, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True)
class PayloadDigest:
    """What a payload is: its Merkle root, DVC's directory md5, and its files sorted by path."""

    root: str
    dvc_md5: str
    files: tuple[FileDigest, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def digest_payload(folder: Path) -> PayloadDigest:
    """Hash every file under `folder`; raises PayloadError for an empty payload, a link or an unsafe format."""
    files = tuple(digest_file(folder, path) for path in payload_files(folder))
    if not files:
        raise PayloadError(f"The payload {folder} holds no file.", "Whatever makes it must write at least one.")
    return PayloadDigest(payload_root(files), dvc_directory_md5(files), files)


def payload_files(folder: Path) -> list[Path]:
    """Every file under `folder`, sorted by relative path; raises PayloadError for what no payload may hold."""
    return sorted(_walk(folder), key=lambda path: path.relative_to(folder).as_posix())


def payload_root(files: Sequence[FileDigest]) -> str:
    """The Merkle root over (relative path, sha256), in a domain of its own."""
    return merkle_root(DOMAIN, (file.path.encode() + b"\0" + bytes.fromhex(file.sha256) for file in files))


def dvc_directory_md5(files: Sequence[FileDigest]) -> str:
    """The directory hash that DVC computes: the md5 of its own JSON listing, with the suffix `.dir`."""
    listing = [{"md5": file.md5, "relpath": file.path} for file in sorted(files, key=lambda file: file.path)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _walk(folder: Path) -> Iterator[Path]:
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
        elif not entry.is_file(follow_symlinks=False):
            raise PayloadError(f"{path} is a link or a special file.", "A payload holds plain files only.")
        elif path.suffix not in SAFE_SUFFIXES:
            expected = f"Expected one of {', '.join(sorted(SAFE_SUFFIXES))}."
            raise PayloadError(f"{path} has a format that payloads may not hold.", expected)
        else:
            yield path


def digest_file(folder: Path, path: Path) -> FileDigest:
    """The size and both hashes of one file, named by its path relative to `folder`."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return FileDigest(path.relative_to(folder).as_posix(), size, sha256.hexdigest(), md5.hexdigest())
