"""DVC's objects that show an image, in the cache and in remotes: shards of old versions, and pictures of reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from data.manifest import MANIFEST
from orchestration.audit.descendants import Descendant
from orchestration.audit.image_index import Holding, unreadable
from orchestration.consent.removal import CACHE, REMOTE, Removal, Shards
from orchestration.graph import AssetId, expand
from orchestration.lineage import SHOWN_DIGITS, payload_file
from orchestration.params import Params
from orchestration.remote.place import Place
from orchestration.store import dvc, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import digest_payload
from orchestration.store.stat_cache import version_in_place
from orchestration.workspace import Workspace

PICTURES = frozenset({".png", ".html", ".jpg", ".jpeg", ".webp"})
_OBJECTS = "files/md5"


def recall_manifests(ws: Workspace, places: Sequence[Place]) -> None:
    """Bring the manifests of image sets that only a remote holds to DVC's cache, so that they can be looked into."""
    for entry in unreadable(ws):
        listing = _object(ws, places, str(entry.body["dvc_md5"]))
        files = {file["relpath"]: file["md5"] for file in json.loads(listing)} if listing else {}
        content = _object(ws, places, files[MANIFEST]) if MANIFEST in files else None
        if listing and content:
            _keep(ws, str(entry.body["dvc_md5"]), listing)
            _keep(ws, files[MANIFEST], content)


def shards_holding(ws: Workspace, places: Sequence[Place], holdings: Iterable[Holding]) -> Shards:
    """The shards in which images lie, of every version but what stands in its place now, and what else is in them."""
    by_version: dict[int, tuple[LedgerEntry, set[str]]] = {}
    for holding in holdings:
        by_version.setdefault(holding.entry.seq, (holding.entry, set()))[1].add(holding.sha256)
    objects: dict[str, str] = {}
    others: set[str] = set()
    gone = {sha256 for _, images in by_version.values() for sha256 in images}
    for entry, images in by_version.values():
        manifest, files = payload_file(ws.root, entry, MANIFEST), _listing(ws, places, entry)
        if manifest is None:
            continue
        mine = pq.read_table(manifest, columns=["shard"], filters=[("sha256", "in", images)])
        names = set(mine["shard"].to_pylist())
        rows = pq.read_table(manifest, columns=["sha256"], filters=[("shard", "in", names)])
        others |= set(rows["sha256"].to_pylist()) - gone
        objects |= {files[name]: _shown(entry, name) for name in names if name in files}
    return Shards(objects, len(others))


def pictures_showing(ws: Workspace, places: Sequence[Place], reached: Iterable[Descendant]) -> dict[str, str]:
    """The pictures and pages of reports and releases, path by md5, that measured on the images or descend from them."""
    return {
        md5: _shown(one.entry, name)
        for one in reached
        if one.how != "holds" and is_measure(one.entry.subject)
        for name, md5 in _listing(ws, places, one.entry).items()
        if Path(name).suffix in PICTURES
    }


def current_objects(ws: Workspace, params: Params, places: Sequence[Place]) -> frozenset[str]:
    """The md5 of every file of the payloads that are declared now: none of them is removed."""
    ids = expand(tuple(params.attributes))
    last = (ledger.last_entry(ws.root, one.asset, one.partition) for one in ids)
    return frozenset(md5 for entry in last if entry for md5 in _listing(ws, places, entry).values())


def removals(ws: Workspace, places: Sequence[Place], objects: Mapping[str, str]) -> Iterator[Removal]:
    """Where the objects lie now: DVC's cache and each remote. Raises UserError for a remote that does not answer."""
    for md5, name in sorted(objects.items()):
        if _cached(ws, md5).exists():
            yield Removal(where=CACHE, path=name, md5=md5)
        for place in places:
            if place.has(_path(md5)):
                yield Removal(where=f"{REMOTE}{place.name}", path=name, md5=md5)


def remove_object(ws: Workspace, places: Mapping[str, Place], one: Removal) -> None:
    """Remove an object from where it lies; none is fine."""
    if one.where == CACHE:
        _cached(ws, one.md5).unlink(missing_ok=True)
    else:
        places[one.where.removeprefix(REMOTE)].delete(_path(one.md5))


def is_measure(subject: str) -> bool:
    """Whether an asset is a report or a release: what shows held-out images."""
    return AssetId.parse(subject).asset.endswith(("_report", "_release"))


def _shown(entry: LedgerEntry, name: str) -> str:
    """A file of a version, for a person: `asset@version/path`."""
    return f"{entry.subject}@{entry.body['data_version'][:SHOWN_DIGITS]}/{name}"


def _listing(ws: Workspace, places: Sequence[Place], entry: LedgerEntry) -> Mapping[str, str]:
    """Path → md5 of the files of a version, from DVC's cache, a remote or the payload in place; none otherwise."""
    content = _object(ws, places, str(entry.body["dvc_md5"]))
    if content is not None:
        return {file["relpath"]: file["md5"] for file in json.loads(content)}
    made = AssetId.parse(entry.subject)
    if version_in_place(ws.root, made) == entry.body["data_version"]:
        return {file.path: file.md5 for file in digest_payload(ws.root / made.path).files}
    return {}


def _object(ws: Workspace, places: Sequence[Place], md5: str) -> bytes | None:
    if _cached(ws, md5).exists():
        return _cached(ws, md5).read_bytes()
    there = next((place for place in places if place.has(_path(md5))), None)
    return there.read(_path(md5)) if there else None


def _keep(ws: Workspace, md5: str, content: bytes) -> None:
    target = _cached(ws, md5)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.part")
    fresh.write_bytes(content)
    fresh.replace(target)


def _cached(ws: Workspace, md5: str) -> Path:
    return dvc.cache_dir(ws.root) / md5[:2] / md5[2:]


def _path(md5: str) -> str:
    return f"{_OBJECTS}/{md5[:2]}/{md5[2:]}"
