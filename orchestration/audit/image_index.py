"""Which image sets of the ledger hold an image, by any of the hashes under which it is known, or by whom it shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.manifest import MANIFEST, PARTS
from orchestration.audit.sorted_keys import FACTS, index_of
from orchestration.graph import GRAPH, AssetId
from orchestration.lineage import payload_file, version_file
from orchestration.store import edges
from orchestration.store.edges import Made
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

DIRECT_ROWS = 200_000
"""A manifest of fewer rows is read as it is; a larger one gets an index at the first look."""

HASHES = ("sha256", "parent", "source_sha256")
SUBJECT = ("subject",)


@dataclass(frozen=True)
class Holding:
    """One image in one version of an image set; `entry` is the newest that made this version.

    `sha256` is the hash that the set itself knows it by, `parent` that of the image from which it was cut, and
    `source_sha256` that of the photograph's own file.
    """

    entry: LedgerEntry
    sha256: str
    split: str
    part: str
    subject: str
    licence: str
    consent: str
    parent: str | None
    source_sha256: str | None
    source: str


def holdings(ws: Workspace, keys: Iterable[str]) -> list[Holding]:
    """Every version of every image set whose manifest knows an image by one of these hashes, in ledger order."""
    return _found(ws, sorted(set(keys)), HASHES)


def holdings_of_subject(ws: Workspace, subject: str) -> list[Holding]:
    """Every version of every image set that holds images of a subject, in ledger order."""
    return _found(ws, [subject], SUBJECT)


def unreadable(ws: Workspace) -> list[LedgerEntry]:
    """The image sets' versions whose manifest is neither in its place nor in DVC's cache: of them nothing is known."""
    return [entry for entry in image_sets(ws) if payload_file(ws.root, entry, MANIFEST) is None]


def image_sets(ws: Workspace) -> list[LedgerEntry]:
    """The newest entry of every version of every image set, in ledger order."""
    return edges.entries_at(ws.root, (made.seq for made, _ in _versions(ws)))


def is_image_set(subject: str) -> bool:
    """Whether an id is that of an image set."""
    asset = GRAPH.get(AssetId.parse(subject).asset)
    return asset is not None and asset.group == "images"


def index_folder(ws: Workspace) -> Path:
    """Where the indices stand, files `<data version>.*`: made on demand, and safe to delete."""
    return ws.state / "index"


def _found(ws: Workspace, keys: Sequence[str], columns: Sequence[str]) -> list[Holding]:
    found: list[Holding] = []
    for made, current in _versions(ws):
        manifest = version_file(ws.root, made.subject, made.dvc_md5, MANIFEST, current=current)
        if manifest is None:
            continue
        tables = _candidates(ws, made.data_version, manifest, keys)
        rows = [row for table in tables for row in _matching(table, keys, columns)]
        if rows:
            (entry,) = edges.entries_at(ws.root, [made.seq])
            found.extend(_holding(entry, row) for row in rows)
    return sorted(found, key=lambda one: one.entry.seq)


def _versions(ws: Workspace) -> Iterator[tuple[Made, bool]]:
    """The newest materialization of every version of every image set, and whether its asset stands at that version."""
    for subject in filter(is_image_set, edges.subjects(ws.root)):
        made = edges.made_of(ws.root, subject)
        yield from ((one, one.data_version == made[-1].data_version) for one in made if one.newest)


def _candidates(ws: Workspace, version: str, manifest: Path, keys: Sequence[str]) -> Iterator[pa.Table]:
    """Tables in which every row that one of `keys` names stands, and few others."""
    with pq.ParquetFile(manifest) as file:
        if file.metadata.num_rows < DIRECT_ROWS:
            yield file.read(columns=[name for name in FACTS if name in file.schema_arrow.names])
            return
    index = index_of(manifest, index_folder(ws), version)
    yield from index.candidates(keys)


def _matching(table: pa.Table, keys: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
    wanted = pa.array(keys, pa.string())
    hit: pa.ChunkedArray | None = None
    for name in columns:
        if name in table.column_names:
            one = pc.is_in(table[name], value_set=wanted)
            hit = one if hit is None else pc.or_(hit, one)
    rows: list[dict[str, Any]] = [] if hit is None else table.filter(hit).to_pylist()
    return rows


def _holding(entry: LedgerEntry, row: dict[str, Any]) -> Holding:
    known: dict[str, Any] = {name: row.get(name) for name in FACTS}
    return Holding(entry=entry, part=PARTS[row["split"]], **known)
