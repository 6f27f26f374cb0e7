"""Which files of a folder or a glob are photographs to take in, and which speak of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError

SIDECAR_NAME = "sidecar.csv"
"""In a subfolder, a file of this name speaks for the photographs below that subfolder."""


@dataclass(frozen=True)
class PhotoFiles:
    """Paths by name relative to the source folder, in name order: the photographs, and the subfolders' sidecars."""

    photos: Mapping[str, str]
    sidecars: Mapping[str, str]


def find_photos(source: str, sidecar: Path | None = None) -> PhotoFiles:
    """Every candidate of `source` (a folder with its subfolders, one file, or a glob); hidden ones and `sidecar` aside.

    Raises UserError when `source` is not there.
    """
    said = os.path.realpath(sidecar) if sidecar else None
    photos: dict[str, str] = {}
    sidecars: dict[str, str] = {}
    for name, path in _files(source):
        if name.startswith(".") or "/." in name:
            continue
        if said and os.path.basename(path) == os.path.basename(said) and os.path.realpath(path) == said:
            continue
        # A name that is no UTF-8 gets escapes, for Parquet holds only text.
        (sidecars if name.endswith(f"/{SIDECAR_NAME}") else photos)[_text(name)] = path
    return PhotoFiles(dict(sorted(photos.items())), dict(sorted(sidecars.items())))


def is_pattern(source: str) -> bool:
    """Whether a source is a glob and no folder."""
    return glob.has_magic(source)


def is_there(source: str) -> bool:
    """Whether a folder or file stands at `source`; of a glob, the folder that it begins in."""
    return os.path.exists(_fixed(source) if glob.has_magic(source) else os.path.expanduser(source))


def _files(source: str) -> Iterator[tuple[str, str]]:
    """(name, path) of each file. Paths are text: a folder may hold hundreds of thousands."""
    place = os.path.expanduser(source)
    if os.path.isdir(place):
        yield from _below(place, "")
    elif os.path.isfile(place):
        yield os.path.basename(place), place
    elif glob.has_magic(source):
        fixed = _fixed(source)
        found = (path for path in glob.glob(place, recursive=True) if os.path.isfile(path))
        yield from ((Path(path).relative_to(fixed).as_posix(), path) for path in found)
    else:
        raise UserError(f"There is no folder or file {source}.", "Correct ingest.path; it may be a folder or a glob.")


def _below(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Links to files are followed, links to folders are not."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield f"{prefix}{entry.name}", entry.path


def _fixed(source: str) -> str:
    """The folders of a glob above its first pattern: names are relative to them."""
    parts = Path(source).expanduser().parts
    return str(Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))]))


def _text(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
