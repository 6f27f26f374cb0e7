"""The manifest: one Parquet row per image, with its bytes' hash, its origin, its consent and its split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import UserError
from data.merkle import MerkleTree, merkle_root
from data.merkle_proof import MerkleProof, check_proof

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MANIFEST = "manifest.parquet"
Part = Literal["train", "held_out"]
PARTS: Mapping[Split, Part] = MappingProxyType({"train": "train", "validation": "held_out", "test": "held_out"})
"""The part of an image set that a split belongs to: what is made from one part does not depend on the other."""

_DATASET, _PART = "editloom.dataset", "editloom.part"
_PLACE = ("shard", "offset", "length")  # where the bytes lie: it moves when any other image of the set goes
_ROWS_AT_ONCE = 4096

IMAGE_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),  # of the stored PNG
        ("source", pa.string()),  # path relative to the source folder, or a renderer: URI
        ("source_sha256", pa.string()),  # of the photograph's own file; null for a render
        ("subject", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
        ("consent_reason", pa.string()),
        ("consent_time", pa.string()),
        ("category", pa.string()),
        ("attributes", pa.list_(pa.string())),  # sorted names
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("split", pa.string()),
        ("shard", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("scene", pa.string()),  # the renderer's scene as JSON; null for a photograph
        ("landmarks", pa.list_(pa.float32())),  # 5×2 in this image's pixels, flattened; null when unknown
    ]
)
ALIGNED_SCHEMA = pa.schema(
    [
        *IMAGE_SCHEMA,
        pa.field("parent", pa.string()),  # sha256 of the image that this crop was cut from
        pa.field("parent_width", pa.int32()),
        pa.field("parent_height", pa.int32()),
        pa.field("transform", pa.list_(pa.float64())),  # 2×3, parent to crop, flattened
    ]
)


@dataclass(frozen=True)
class SplitFractions:
    """Shares of the subjects that are held out; the rest trains."""

    test: float = 0.15
    validation: float = 0.05

    def __post_init__(self) -> None:
        if min(self.test, self.validation) < 0 or self.test + self.validation >= 1:
            raise UserError(
                f"The split leaves nothing to train on: test {self.test}, validation {self.validation}.",
                "Give two fractions of at least 0 whose sum is below 1.",
            )


@dataclass(frozen=True)
class ImageRow:
    """What is known of an image before its bytes have a place; the fields are the manifest's columns."""

    source: str
    subject: str
    licence: str
    consent: str
    category: str
    attributes: tuple[str, ...]
    width: int
    height: int
    split: Split
    source_sha256: str | None = None
    consent_reason: str | None = None
    consent_time: str | None = None
    scene: str | None = None
    landmarks: tuple[float, ...] | None = None
    parent: str | None = None
    parent_width: int | None = None
    parent_height: int | None = None
    transform: tuple[float, ...] | None = None


def split_of(subject: str, fractions: SplitFractions) -> Split:
    """The split of a subject, from its name alone: new data moves nobody from test to training."""
    digest = hashlib.sha256(b"editloom.split\0" + subject.encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < fractions.test:
        return "test"
    return "validation" if place < fractions.test + fractions.validation else "train"


def dataset_root(sha256s: Iterable[str]) -> str:
    """The Merkle root, as hex, over the set of image hashes (hex): what the data set is, whatever its order."""
    return merkle_root(_DATASET, map(bytes.fromhex, sha256s))


def dataset_proof(sha256s: Iterable[str], sha256: str) -> MerkleProof:
    """Proof, for the dataset root of the image hashes (hex), that an image is among them or that it is not."""
    return dataset_proofs(sha256s, (sha256,))[0]


def dataset_proofs(sha256s: Iterable[str], wanted: Iterable[str]) -> list[MerkleProof]:
    """The same for several images at once."""
    tree = dataset_tree(sha256s)
    return [tree.prove(bytes.fromhex(sha256)) for sha256 in wanted]


def dataset_tree(sha256s: Iterable[str]) -> MerkleTree:
    """The tree over the image hashes (hex), for several proofs; its root is the dataset root."""
    return MerkleTree(_DATASET, map(bytes.fromhex, sha256s))


def check_dataset_proof(proof: MerkleProof, sha256: str, dataset_root: str) -> bool:
    """Whether a proof shows, for a dataset root (hex), what it says of an image: that it is in the set, or is not."""
    return check_proof(proof, bytes.fromhex(sha256), dataset_root, _DATASET)


def part_roots(frame: pd.DataFrame, facts: Mapping[str, object]) -> dict[Part, str]:
    """Part → Merkle root, as hex, over its rows (all columns but the bytes' place) and the set-wide facts.

    `frame` is a manifest as written or as read; `facts` are JSON values that hold whichever images there are.
    """
    schema = ALIGNED_SCHEMA if "transform" in frame.columns else IMAGE_SCHEMA
    part_of = frame["split"].map(dict(PARTS))
    common = b"facts\0" + _canonical(facts)
    return {
        part: merkle_root(f"{_PART}.{part}", (common, *_row_digests(frame[part_of == part], schema)))
        for part in dict.fromkeys(PARTS.values())
    }


def _row_digests(rows: pd.DataFrame, schema: pa.Schema) -> Iterator[bytes]:
    """A sha256 of each row's values, as the manifest holds them."""
    known = pa.schema([field for field in schema if field.name not in _PLACE])
    for batch in pa.Table.from_pandas(rows, known, preserve_index=False).to_batches(_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield b"row\0" + hashlib.sha256(_canonical(row)).digest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True).encode()


def write_manifest(frame: pd.DataFrame, directory: Path) -> None:
    """Writes the rows, sorted by sha256, as `manifest.parquet`; with a `transform` column they are aligned crops."""
    schema = ALIGNED_SCHEMA if "transform" in frame.columns else IMAGE_SCHEMA
    write_table(frame.sort_values("sha256", ignore_index=True), schema, directory / MANIFEST)


def read_manifest(directory: Path) -> pd.DataFrame:
    """The manifest of an image set's directory; raises UserError when there is none."""
    path = directory / MANIFEST
    if not path.is_file():
        raise UserError(f"There is no {MANIFEST} in {directory}.", "Materialize the asset that writes it first.")
    frame: pd.DataFrame = pq.read_table(path).to_pandas()
    return frame


def write_table(frame: pd.DataFrame, schema: pa.Schema, path: Path) -> None:
    """Writes the schema's columns as Parquet without pandas' metadata, so that equal rows are equal bytes."""
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, path, compression="zstd", store_schema=False)
