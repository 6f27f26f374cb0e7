"""What a payload's files looked like when they were last hashed, so that unchanged ones are not hashed again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestration.graph import AssetId
from orchestration.store.payload import PayloadDigest, PayloadError, digest_payload, payload_files

FOLDER = Path(".editloom", "payloads")


@dataclass(frozen=True)
class _Seen:
    """A data version with `[path, size, mtime in ns]` of each of its files."""

    data_version: str
    files: tuple[tuple[str, int, int], ...]


def remember(root: Path, asset_id: AssetId, digest: PayloadDigest) -> None:
    """Note that the payload in place has this digest."""
    seen = _Seen(digest.root, _stats(root / asset_id.path))
    path = _cache_file(root, asset_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(asdict(seen)))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def version_in_place(root: Path, asset_id: AssetId, verify_bytes: bool = False) -> str | None:
    """The data version of the payload in place, or None when there is none.

    Files are hashed only when their list, sizes or times differ from the last look, or `verify_bytes` asks for it.
    """
    folder = root / asset_id.path
    if not folder.is_dir():
        return None
    try:
        seen = None if verify_bytes else _recall(root, asset_id)
        if seen is not None and seen.files == _stats(folder):
            return seen.data_version
        digest = digest_payload(folder)
    except PayloadError:
        return None
    remember(root, asset_id, digest)
    return digest.root


def _stats(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for path in payload_files(folder):
        stat = path.stat()
        found.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _recall(root: Path, asset_id: AssetId) -> _Seen | None:
    try:
        document = json.loads(_cache_file(root, asset_id).read_text())
        return _Seen(document["data_version"], tuple((str(f[0]), int(f[1]), int(f[2])) for f in document["files"]))
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def _cache_file(root: Path, asset_id: AssetId) -> Path:
    return root / FOLDER / f"{asset_id.stage}.json"
