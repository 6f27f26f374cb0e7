"""What an image set's version holds, in numbers: images, subjects, splits, licences, consents, refusals."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.image_set import DATASET
from data.manifest import MANIFEST
from orchestration.audit.image_index import DIRECT_ROWS, index_folder
from orchestration.audit.sorted_keys import limit_memory, quoted
from orchestration.lineage import payload_file
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

_COLUMNS = ("licence", "consent")


@dataclass(frozen=True)
class DatasetFacts:
    """One version of an image set; counts of images by split, licence, consent and reason of refusal."""

    count: int
    subjects: int
    splits: Mapping[str, int]
    licences: Mapping[str, int]
    consents: Mapping[str, int]
    dataset_root: str
    quarantined: Mapping[str, int]


def dataset_facts(ws: Workspace, entry: LedgerEntry) -> DatasetFacts | None:
    """The facts of the version that an entry made; None where its manifest or its dataset.json is no longer here.

    Of a manifest of millions of rows the counts are kept beside its index: they are a function of the version.
    """
    manifest, known = (payload_file(ws.root, entry, name) for name in (MANIFEST, DATASET))
    if manifest is None or known is None:
        return None
    document = json.loads(known.read_text(encoding="utf-8"))
    subjects, licences, consents = _counted(ws, manifest, str(entry.body["data_version"]))
    return DatasetFacts(
        count=int(document["count"]),
        subjects=subjects,
        splits=dict(document.get("splits", {})),
        licences=licences,
        consents=consents,
        dataset_root=str(document["dataset_root"]),
        quarantined=dict(document.get("quarantined", {})),
    )


def _counted(ws: Workspace, manifest: Path, version: str) -> tuple[int, Mapping[str, int], Mapping[str, int]]:
    with pq.ParquetFile(manifest) as file:
        if file.metadata.num_rows < DIRECT_ROWS:
            table = file.read(columns=["subject", *_COLUMNS])
            licences, consents = (dict(_values(table[name])) for name in _COLUMNS)
            return pc.count_distinct(table["subject"]).as_py(), licences, consents
    kept = index_folder(ws) / f"{version}.counts.json"
    if not kept.exists():
        _keep(kept, _counted_out_of_memory(manifest, kept.parent))
    counts = json.loads(kept.read_text())
    return counts["subjects"], counts["licence"], counts["consent"]


def _values(column: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    for pair in sorted(pc.value_counts(column).to_pylist(), key=lambda pair: str(pair["values"])):
        yield str(pair["values"]), int(pair["counts"])


def _counted_out_of_memory(manifest: Path, folder: Path) -> dict[str, object]:
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        limit_memory(connection, folder)
        rows = f"FROM read_parquet({quoted(manifest)})"
        found = connection.execute(f"SELECT count(DISTINCT subject) {rows}").fetchone()
        counts: dict[str, object] = {"subjects": found[0] if found else 0}
        for name in _COLUMNS:
            each = connection.execute(f"SELECT {name}, count(*) {rows} GROUP BY {name} ORDER BY {name}")
            counts[name] = dict(each.fetchall())
    return counts


def _keep(path: Path, counts: Mapping[str, object]) -> None:
    arriving = path.with_name(f"{path.name}.{os.getpid()}.part")
    arriving.write_text(json.dumps(counts))
    arriving.rename(path)
