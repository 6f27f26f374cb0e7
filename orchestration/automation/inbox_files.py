"""The files of an inbox, a folder or an S3 prefix: what they are called, when they changed, what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from data.photo_files import SIDECAR_NAME

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CHUNK_BYTES = 1 << 20
_VERSIONS = ("ETag", "mtime", "LastModified")
"""What a file system may say of a file's version, besides its size."""


@dataclass(frozen=True)
class InboxFiles:
    """Where an inbox stands."""

    system: AbstractFileSystem
    folder: str

    @classmethod
    def at(cls, path: str, root: Path) -> InboxFiles:
        """The inbox at a path relative to `root`, or at a URL; credentials are the environment's, as for DVC's remote.

        Raises UserError when it is not there, or for a URL that nothing here can read.
        """
        from fsspec.core import url_to_fs

        try:
            # What was listed before is not what stands there now.
            system, folder = url_to_fs(path if "://" in path else str(root / Path(path).expanduser()))
            system.invalidate_cache()
            there = "://" in path or system.isdir(folder)
        except (ValueError, ImportError, OSError) as error:
            raise UserError(f"The inbox {path} cannot be read: {error}.", "Correct automation.inbox.path.") from None
        if not there:
            raise UserError(f"The inbox {path} is no folder.", "Make it, or correct automation.inbox.path.")
        return cls(system, folder.rstrip("/"))

    def stamps(self) -> dict[str, str]:
        """Size and version of each file by its name relative to the inbox; hidden files aside.

        Raises UserError when the inbox cannot be listed.
        """
        try:
            found: Mapping[str, Mapping[str, Any]] = self.system.find(self.folder, detail=True)
        except Exception as error:  # of S3, whatever its client raises
            raise UserError(
                f"The inbox {self.folder} cannot be listed: {error}.", "Look at it and at its rights."
            ) from None
        named = ((path.removeprefix(self.folder).lstrip("/"), info) for path, info in found.items())
        return {
            name: _stamp(info)
            for name, info in sorted(named, key=lambda one: one[0])
            if name and not name.startswith(".") and "/." not in name
        }

    def sha256(self, name: str) -> str:
        """sha256 (hex) of a file; raises OSError when it cannot be read."""
        digest = hashlib.sha256()
        with self.system.open(f"{self.folder}/{name}", "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def copy(self, name: str, target: Path) -> str:
        """Copy a file to `target`, whole or not at all, and return its sha256 (hex); raises OSError."""
        digest, part = hashlib.sha256(), target.with_name(f".{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.system.open(f"{self.folder}/{name}", "rb") as file, part.open("wb") as out:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        part.replace(target)
        return digest.hexdigest()

    def read(self, name: str) -> bytes:
        """A small file's bytes; raises OSError."""
        content: bytes = self.system.cat_file(f"{self.folder}/{name}")
        return content


def is_sidecar(name: str) -> bool:
    """Whether a file speaks of photographs and is none."""
    return name.rpartition("/")[2] == SIDECAR_NAME


def _stamp(info: Mapping[str, Any]) -> str:
    return "/".join(str(info[key]) for key in ("size", *_VERSIONS) if info.get(key) is not None)
