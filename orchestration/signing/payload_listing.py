"""The files of any version that the ledger knows: from its place, or else from DVC's cache."""

from __future__ import annotations

import json
from pathlib import Path

from orchestration.signing.model_signature import file_sha256
from orchestration.store import dvc, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import payload_files


def version_files(root: Path, entry: LedgerEntry) -> dict[str, Path] | None:
    """Path of the bytes by name in the payload that an entry made; None when not every one is at hand.

    Nothing is hashed: whoever uses the bytes holds them against the ledger.
    """
    made = entry.materialization
    last = ledger.last_entry(root, made.wanted.asset, made.wanted.partition)
    folder = root / made.wanted.id.path
    if last is not None and last.materialization.data_version == made.data_version and folder.is_dir():
        return {path.relative_to(folder).as_posix(): path for path in payload_files(folder)}
    store = dvc.cache_dir(root)
    listing = store / made.dvc_md5[:2] / made.dvc_md5[2:]
    if not listing.exists():
        return None
    known = {str(one["relpath"]): str(one["md5"]) for one in json.loads(listing.read_text())}
    found = {name: store / md5[:2] / md5[2:] for name, md5 in known.items()}
    return found if all(path.exists() for path in found.values()) else None


def sha256s(files: dict[str, Path]) -> dict[str, str]:
    """sha256 by name."""
    return {name: file_sha256(path) for name, path in sorted(files.items())}
