"""The store through which the head and the nodes exchange files: by sha256, in a remote of DVC's configuration.

    editloom/ray/<workspace>/inputs/<sha256>                     payloads of inputs, the user's own files
    editloom/ray/<workspace>/attempts/<stage>/<digest>/
        request.json                                             what the attempt reads, as long as it lasts
        objects/<sha256>                                         checkpoints, at the end payload and evidence
        checkpoint-00000007.json                                 a complete checkpoint: its files by hash

Nothing here outlives the publication of what it was for.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from orchestration.ray_cluster.request import FileRef
from orchestration.remote.place import Place

PREFIX = "editloom/ray"
REQUEST = "request.json"
OBJECTS = "objects"


@dataclass(frozen=True)
class Objects:
    """Files by their sha256, in one folder of a store."""

    place: Place
    folder: str

    def push(self, file: Path, sha256: str) -> None:
        """Send a file unless one of that content is there; raises UserError when the store does not answer."""
        if not self.place.has(self._path(sha256)):
            self.place.upload(file, self._path(sha256))

    def fetch(self, sha256: str, target: Path) -> None:
        """Bring a file, whole and as its hash says or not at all.

        Raises UserError when it is not there, is damaged, or the store does not answer.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            self.place.download(self._path(sha256), part)
            if file_sha256(part) != sha256:
                hint = "Run the same command again; if it stays so, look at the store's disk."
                raise UserError(f"{self.place}: {self._path(sha256)} is damaged.", hint)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    def drop(self, hashes: Iterable[str]) -> None:
        """Remove files; those that are not there are fine."""
        for sha256 in hashes:
            self.place.delete(self._path(sha256))

    def _path(self, sha256: str) -> str:
        return f"{self.folder}/{sha256}"


@dataclass(frozen=True)
class AttemptStore:
    """What one attempt at an asset keeps in the store."""

    place: Place
    folder: str

    @property
    def objects(self) -> Objects:
        """Its checkpoints' and its payload's files."""
        return Objects(self.place, f"{self.folder}/{OBJECTS}")

    def push_tree(self, folder: Path) -> tuple[FileRef, ...]:
        """Send every file under a folder, and list them by path."""
        refs = tuple(listed(folder))
        for ref in refs:
            self.objects.push(folder / ref.path, ref.sha256)
        return refs

    def fetch_tree(self, refs: Iterable[FileRef], folder: Path) -> None:
        """Bring listed files into a folder, verified; raises UserError."""
        for ref in refs:
            self.objects.fetch(ref.sha256, inside(folder, ref.path))

    def remove(self) -> None:
        """Remove all that the attempt keeps."""
        self.place.remove(self.folder)


def listed(folder: Path, paths: Iterable[str] | None = None) -> Iterator[FileRef]:
    """The named files of a folder, or every file under it, by path."""
    every = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for path in sorted(every if paths is None else paths):
        file = folder / path
        yield FileRef(path=path, sha256=file_sha256(file), size_bytes=file.stat().st_size)


def inside(folder: Path, relative: str) -> Path:
    """The place of a listed path in a folder; raises ValueError for one that would leave it."""
    target = (folder / relative).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise ValueError(f"{relative} leads out of its folder")
    return target


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
