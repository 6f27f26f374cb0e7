"""Writes one image set's directory: manifest, quarantine, shards and `dataset.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pandas as pd

from data.consent import WITHDRAWN_LATER, Withheld
from data.errors import UserError
from data.manifest import ALIGNED_SCHEMA, IMAGE_SCHEMA, SPLITS, ImageRow, dataset_root, part_roots, write_manifest
from data.quarantine import Rejection, count_reasons, describe, write_quarantine
from data.shards import ShardWriter

Kind = Literal["images", "aligned_images", "attribute_images"]
DATASET = "dataset.json"
_VARIABLE = frozenset({"sources", "consent", "held_back", "parent_dataset_root", "aligned_dataset_root"})
"""Facts that change when some image comes or goes: no part's root depends on them, and no reader of a part may."""


@dataclass(frozen=True)
class ImageSetSummary:
    """What was written: images, images a split, refused images a reason, and the dataset root."""

    count: int
    splits: Mapping[str, int]
    quarantined: Mapping[str, int]
    dataset_root: str


class ImageSetWriter:
    """Takes images and refusals in any order; `finish` writes them. Equal bytes are taken once, withheld ones never."""

    def __init__(self, directory: Path, kind: Kind, withheld: Withheld = Withheld()) -> None:  # noqa: B008 – frozen
        self._directory = directory
        self._kind = kind
        self._withheld = withheld
        self._shards = ShardWriter(directory)
        self._rows: dict[str, ImageRow] = {}
        self.rejections: list[Rejection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._shards.__exit__(kind, error, at)

    def add(self, png: bytes, row: ImageRow) -> None:
        """Takes an image; a withheld one, or one whose pixels are there already, goes to quarantine."""
        if self._withheld and self._withhold(hashlib.sha256(png).hexdigest(), row):
            return
        sha256 = self._shards.add(png)
        if sha256 in self._rows:
            expected = f"an image that is there once; its pixels equal those of {self._rows[sha256].source}"
            self.reject(Rejection(row.source, row.source_sha256 or row.parent or sha256, "duplicate", expected))
        else:
            self._rows[sha256] = row

    def _withhold(self, sha256: str, row: ImageRow) -> bool:
        """Whether an image is withheld; it is then in quarantine, under the hash by which it is, its bytes nowhere."""
        hashes = (sha256, row.source_sha256, row.parent)
        if not self._withheld.holds(row.subject, *hashes):
            return False
        known = self._withheld.named(*hashes) or row.source_sha256 or sha256
        self.reject(Rejection(row.source, known, "withdrawn", WITHDRAWN_LATER, row.subject))
        return True

    def reject(self, rejection: Rejection) -> None:
        """Notes an image that is not taken."""
        self.rejections.append(rejection)

    def finish(self, facts: Mapping[str, object]) -> ImageSetSummary:
        """Writes everything; `facts` go into dataset.json beside the counts.

        Raises UserError when no image is left.
        """
        if not self._rows:
            hint = "Mend or replace the files, or look at the sidecar's consent column."
            raise UserError(f"No image is left of {len(self.rejections)}: {describe(self.rejections)}.", hint)
        frame = self._frame()
        write_manifest(frame, self._directory)
        write_quarantine(self.rejections, self._directory)
        splits: dict[str, int] = {split: int((frame["split"] == split).sum()) for split in SPLITS}
        summary = ImageSetSummary(len(frame), splits, count_reasons(self.rejections), dataset_root(self._rows))
        fixed = {name: value for name, value in facts.items() if name not in _VARIABLE}
        parts = part_roots(frame, {"kind": self._kind, **fixed})
        document = {"kind": self._kind, **asdict(summary), "parts": parts, **facts}
        (self._directory / DATASET).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
        return summary

    def _frame(self) -> pd.DataFrame:
        places = self._shards.write()
        records = [
            {**vars(row), "sha256": sha256, **vars(places[sha256])} for sha256, row in sorted(self._rows.items())
        ]
        schema = IMAGE_SCHEMA if self._kind == "images" else ALIGNED_SCHEMA
        return pd.DataFrame(records, columns=schema.names)


def row_of(record: Mapping[str, object]) -> ImageRow:
    """The ImageRow of a manifest record (a dict of one row); absent values become None."""
    known = {field.name: _plain(record.get(field.name)) for field in fields(ImageRow)}
    return ImageRow(**known)  # type: ignore[arg-type]


def _plain(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(value)
    return None if value != value else value  # NaN: pandas' absent value


def parts_of(directory: Path) -> Mapping[str, str]:
    """The roots of an image set's parts, by name; none for a directory that holds no image set."""
    if not (directory / DATASET).is_file():
        return {}
    parts = read_dataset(directory).get("parts", {})
    return {str(name): str(root) for name, root in parts.items()} if isinstance(parts, Mapping) else {}


def recomputed_parts(frame: pd.DataFrame, document: Mapping[str, object]) -> Mapping[str, str]:
    """The roots of the parts, by name, that a manifest has with the facts in its dataset.json."""
    counted = {*(field.name for field in fields(ImageSetSummary)), "parts", *_VARIABLE}
    facts = {name: value for name, value in document.items() if name not in counted}
    return {str(part): root for part, root in part_roots(frame, facts).items()}


def read_dataset(directory: Path) -> dict[str, object]:
    """What `dataset.json` says."""
    document: dict[str, object] = json.loads((directory / DATASET).read_text())
    return document
