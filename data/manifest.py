"""The manifest: one Parquet row per image, with its bytes' hash, its origin, its consent and its split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import UserError
from data.merkle import merkle_root

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MANIFEST = "manifest.parquet"

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
    return merkle_root("editloom.dataset", (bytes.fromhex(sha256) for sha256 in sha256s))


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
