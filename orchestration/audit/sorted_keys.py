"""An index over a manifest of millions of rows: its facts in small groups, and its keys sorted with their row numbers.

Two Parquet files for each data version, a cache that may be deleted at any time. A key is looked up in the one row
group of the sorted keys that can hold it, and its rows in the groups that they stand in.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FACTS = ("sha256", "split", "subject", "licence", "consent", "parent", "source_sha256", "source")
KEYS = ("sha256", "parent", "source_sha256", "subject")
FACTS_IN_GROUP = 20_000
KEYS_IN_GROUP = 50_000
MEMORY_LIMIT = "400MB"
THREADS = 2
PREFIX_CHARS = 16
STREAM_BYTES = 1 << 20


@dataclass(frozen=True)
class SortedKeys:
    """The two files of one manifest: `facts` in the manifest's order, `keys` as (prefix, row) sorted by prefix."""

    facts: Path
    keys: Path

    def candidates(self, keys: Iterable[str]) -> Iterator[pa.Table]:
        """Every row that one of the keys may name (prefixes are compared, not keys), group by group."""
        by_group: dict[int, list[int]] = defaultdict(list)
        for row in self._row_numbers(sorted({prefix(key) for key in keys})):
            by_group[row // FACTS_IN_GROUP].append(row % FACTS_IN_GROUP)
        with pq.ParquetFile(self.facts) as file:
            for group, rows in sorted(by_group.items()):
                yield file.read_row_group(group).take(pa.array(rows))

    def _row_numbers(self, prefixes: Sequence[str]) -> list[int]:
        with pq.ParquetFile(self.keys) as file:
            groups = [group for group in range(file.num_row_groups) if _may_hold(file, group, prefixes)]
            table = file.read_row_groups(groups)
        hit = pc.is_in(table["prefix"], value_set=pa.array(prefixes, pa.string()))
        return sorted(set(table["row"].filter(hit).to_pylist()))


def prefix(key: str) -> str:
    """What stands for a key in the index: the start of a hash over it, so that subjects and hashes sort alike."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:PREFIX_CHARS]


def index_of(manifest: Path, folder: Path, version: str) -> SortedKeys:
    """The index of a manifest of this data version, made when it is not there; memory stays within about 1 GB."""
    index = SortedKeys(folder / f"{version}.facts.parquet", folder / f"{version}.parquet")
    if not (index.facts.exists() and index.keys.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        _atomically(index.facts, lambda path: _write_facts(manifest, path))
        _atomically(index.keys, lambda path: _write_keys(index.facts, path, folder))
    return index


def _may_hold(file: pq.ParquetFile, group: int, prefixes: Sequence[str]) -> bool:
    known = file.metadata.row_group(group).column(0).statistics
    place = bisect_left(prefixes, known.min)
    return place < len(prefixes) and prefixes[place] <= known.max


def _write_facts(manifest: Path, path: Path) -> None:
    """The manifest's rows in its own order, in groups small enough to be read for a single row."""
    schema = pa.schema([(name, pa.string()) for name in FACTS])
    with (
        pq.ParquetFile(manifest, buffer_size=STREAM_BYTES, pre_buffer=False) as source,
        pq.ParquetWriter(path, schema, compression="zstd") as target,
    ):
        known = [name for name in FACTS if name in source.schema_arrow.names]
        for table in _regrouped(source.iter_batches(FACTS_IN_GROUP, columns=known)):
            columns = [table[name] if name in known else pa.nulls(len(table), pa.string()) for name in FACTS]
            target.write_table(pa.table(columns, schema), row_group_size=FACTS_IN_GROUP)


def _regrouped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of exactly FACTS_IN_GROUP rows but for the last: Arrow cuts its batches at the source's row groups."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        while rows >= FACTS_IN_GROUP:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, FACTS_IN_GROUP)
            waiting = table.slice(FACTS_IN_GROUP).to_batches()
            rows -= FACTS_IN_GROUP
    if rows:
        yield pa.Table.from_batches(waiting)


def _write_keys(facts: Path, path: Path, folder: Path) -> None:
    """(prefix, row) of every key of every row, sorted; DuckDB spills to `folder` what does not fit."""
    import duckdb

    each = " UNION ALL ".join(
        f"SELECT left(md5({name}), {PREFIX_CHARS}) AS prefix, file_row_number AS row "
        f"FROM read_parquet({quoted(facts)}, file_row_number = true) WHERE {name} IS NOT NULL"
        for name in KEYS
    )
    form = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {KEYS_IN_GROUP}"
    with duckdb.connect() as connection:
        limit_memory(connection, folder)
        connection.execute(f"COPY (SELECT prefix, row FROM ({each}) ORDER BY prefix) TO {quoted(path)} ({form})")


def limit_memory(connection: DuckDBPyConnection, folder: Path) -> None:
    """Hold a DuckDB connection to MEMORY_LIMIT; what is more goes to files in `folder`."""
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    connection.execute(f"SET threads = {THREADS}")
    connection.execute(f"SET temp_directory = {quoted(folder / 'spill')}")


def quoted(path: Path) -> str:
    """A path as a string of DuckDB's SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _atomically(path: Path, write: Callable[[Path], None]) -> None:
    arriving = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        write(arriving)
        arriving.rename(path)
    finally:
        arriving.unlink(missing_ok=True)
