"""The photographs themselves, in the folders that they are ingested from, and their rows in the sidecars."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from data.photo_files import SIDECAR_NAME
from data.quarantine import QUARANTINE, read_quarantine
from orchestration.consent.removal import PHOTOGRAPH, SIDECAR, Removal
from orchestration.graph import AssetId
from orchestration.params import Params
from orchestration.sections import Ingest
from orchestration.workspace import Workspace


def photographs(ws: Workspace, params: Params, hashes: Collection[str], subject: str | None) -> Iterator[Removal]:
    """Every file of the source folders with one of these hashes, or left out as such an image, and its sidecar row.

    Each file is hashed: a copy under another name is found too.
    """
    for asset_id, ingest in _sources(params):
        root, files = _files(ws, ingest)
        left_out = set(_left_out(ws, asset_id, hashes, subject)) if asset_id else set()
        for path in files:
            name, digest = path.relative_to(root).as_posix(), _sha256(path)
            if digest in hashes or name in left_out:
                yield Removal(where=PHOTOGRAPH, path=_shown(ws, path), sha256=digest)
                if ingest.sidecar and name in _named_in(ws.root / ingest.sidecar):
                    yield Removal(where=SIDECAR, path=ingest.sidecar, row=name)
                for sidecar in _sidecars_above(root, path):
                    row = path.relative_to(sidecar.parent).as_posix()
                    if row in _named_in(sidecar):
                        yield Removal(where=SIDECAR, path=_shown(ws, sidecar), row=row)


def remove_photographs(ws: Workspace, removed: Iterable[Removal]) -> None:
    """Remove files, and their rows from sidecars: a row that names no file would be a mistake in the next run."""
    rows: dict[str, set[str]] = {}
    for one in removed:
        if one.where == SIDECAR:
            rows.setdefault(one.path, set()).add(one.row)
    for sidecar, names in rows.items():
        _without(ws.root / sidecar, names)
    for one in removed:
        if one.where == PHOTOGRAPH:
            (ws.root / one.path).unlink(missing_ok=True)


def _sources(params: Params) -> Iterator[tuple[AssetId | None, Ingest]]:
    """The folders that photographs stand in, each with the image set made from it; of the inbox there is none."""
    if params.images.source == "folder":
        yield AssetId("images"), params.images.ingest
    for name, attribute in params.attributes.items():
        if attribute.attribute_images is not None:
            yield AssetId("attribute_images", name), attribute.attribute_images
    inbox = params.automation.inbox
    if inbox.path and "://" not in inbox.path:
        yield None, Ingest(path=inbox.path, sidecar=f"{inbox.path}/{SIDECAR_NAME}")


def _files(ws: Workspace, ingest: Ingest) -> tuple[Path, list[Path]]:
    """The folder that the names are relative to, and its files; a folder that is gone holds none."""
    source = ws.root / str(ingest.path)
    if glob.has_magic(str(source)):
        fixed = next(index for index, part in enumerate(source.parts) if glob.has_magic(part))
        return Path(*source.parts[:fixed]), _plain(map(Path, glob.glob(str(source), recursive=True)))
    if source.is_file():
        return source.parent, [source]
    return source, _plain(source.rglob("*")) if source.is_dir() else []


def _sidecars_above(root: Path, photo: Path) -> Iterator[Path]:
    """The sidecars of the subfolders that a photograph lies in."""
    below = [folder for folder in photo.parents if folder.is_relative_to(root) and folder != root]
    yield from (folder / SIDECAR_NAME for folder in below if (folder / SIDECAR_NAME).is_file())


def _plain(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file())


def _left_out(ws: Workspace, asset_id: AssetId, hashes: Collection[str], subject: str | None) -> Iterator[str]:
    """The names under which the image set in place refused such an image: other bytes, the same picture."""
    folder = ws.root / asset_id.path
    if not (folder / QUARANTINE).is_file():
        return
    for row in read_quarantine(folder).to_dict("records"):
        theirs = subject is not None and row.get("subject") == subject
        if row["reason"] == "withdrawn" and (row["sha256"] in hashes or theirs):
            yield str(row["source"])


def _named_in(sidecar: Path) -> set[str]:
    return {row.get("file", "") for row in _read(sidecar)[1]} if sidecar.is_file() else set()


def _without(sidecar: Path, names: set[str]) -> None:
    """Write a sidecar anew without some rows, so that a crash leaves the old file or the new one."""
    if not sidecar.is_file():
        return
    columns, rows = _read(sidecar)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in rows if row.get("file", "") not in names)
    fresh = sidecar.with_name(f".{sidecar.name}.part")
    fresh.write_text(text.getvalue(), encoding="utf-8")
    fresh.replace(sidecar)


def _read(sidecar: Path) -> tuple[list[str], list[Mapping[str, str]]]:
    reader = csv.DictReader(io.StringIO(sidecar.read_text(encoding="utf-8-sig"), newline=""))
    return list(reader.fieldnames or ()), list(reader)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _shown(ws: Workspace, path: Path) -> str:
    return path.relative_to(ws.root).as_posix() if path.is_relative_to(ws.root) else str(path)
