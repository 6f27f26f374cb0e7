"""A payload that the ledger recorded: its files wherever they still are, compared with those that were made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.errors import UserError
from orchestration.lineage import SHOWN_DIGITS
from orchestration.reproduction.content import FileDifference, compare_content
from orchestration.store import dvc, stat_cache
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import digest_payload, payload_files


def recorded_files(root: Path, entry: LedgerEntry) -> Mapping[str, Path] | None:
    """Each file of the very version that an entry made, in its place or in DVC's cache; None when it is in neither."""
    made = entry.materialization
    in_place = root / made.wanted.id.path
    if stat_cache.version_in_place(root, made.wanted.id) == made.data_version:
        return {path.relative_to(in_place).as_posix(): path for path in payload_files(in_place)}
    store = dvc.cache_dir(root)
    listing = store / made.dvc_md5[:2] / made.dvc_md5[2:]
    if not listing.is_file():
        return None
    files = {one["relpath"]: store / one["md5"][:2] / one["md5"][2:] for one in json.loads(listing.read_text())}
    return files if all(path.is_file() for path in files.values()) else None


def lay_out(root: Path, entry: LedgerEntry, folder: Path) -> Path:
    """Copy a recorded payload's files to `folder`; raises UserError when its bytes are not here, or altered."""
    files = recorded_files(root, entry)
    if files is None:
        version = entry.materialization.data_version[:SHOWN_DIGITS]
        hint = "Fetch it (`editloom pull`), or leave out --asset-only to make it again too."
        raise UserError(f"The bytes of {entry.subject} {version} are neither in place nor in DVC's cache.", hint)
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    if digest_payload(folder).root != entry.materialization.data_version:
        raise UserError(f"The bytes of {entry.subject} are not those of the ledger.", "See `editloom verify`.")
    return folder


def compare_payloads(root: Path, entry: LedgerEntry, made: Path) -> tuple[FileDifference, ...]:
    """How the files of the directory `made` differ from an entry's; empty only when they are the same."""
    recorded = recorded_files(root, entry)
    if recorded is None:
        return (FileDifference("*", "the recorded bytes are neither in place nor in DVC's cache: nothing to compare"),)
    again = {path.relative_to(made).as_posix(): path for path in payload_files(made)}
    return tuple(_differences(recorded, again))


def _differences(recorded: Mapping[str, Path], again: Mapping[str, Path]) -> Iterator[FileDifference]:
    for name in sorted(recorded.keys() | again.keys()):
        if name not in again:
            yield FileDifference(name, "was not made again")
        elif name not in recorded:
            yield FileDifference(name, "is new")
        else:
            before, after = recorded[name].read_bytes(), again[name].read_bytes()
            if before != after:
                yield compare_content(name, before, after)
