"""What was not taken in, and why: one Parquet row per refused image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.manifest import write_table

Reason = Literal[
    "unreadable",  # the file could not be opened
    "not_an_image",  # its bytes are no image format that is read
    "truncated",  # it begins as an image and then breaks off or is damaged
    "too_many_pixels",  # refused from its header, before decoding
    "too_small",
    "duplicate",
    "withdrawn",
    "no_consent",
    "no_landmarks",
    "no_face",
    "face_too_small",
    "vehicle_too_small",
]
REASONS: tuple[str, ...] = get_args(Reason)
QUARANTINE = "quarantine.parquet"

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("reason", pa.string()),
        ("expected", pa.string()),
        ("subject", pa.string()),  # of an image whose consent was withdrawn after ingest; null otherwise
    ]
)


@dataclass(frozen=True)
class Rejection:
    """One refused image: its source, its file's sha256 (None when unreadable), the reason, what was expected.

    Where consent was withdrawn after ingest, `sha256` is the hash under which it was and `subject` whom it shows.
    """

    source: str
    sha256: str | None
    reason: Reason
    expected: str
    subject: str | None = None


class BadImageError(Exception):
    """Raised by the steps that look at one image; the batch goes on."""

    def __init__(self, reason: Reason, expected: str) -> None:
        super().__init__(f"{reason}: {expected}")
        self.reason: Reason = reason
        self.expected = expected

    def __reduce__(self) -> tuple[type[BadImageError], tuple[Reason, str]]:
        return BadImageError, (self.reason, self.expected)


def write_quarantine(rejections: Iterable[Rejection], directory: Path) -> None:
    """Writes the refused images, sorted by source, as `quarantine.parquet`."""
    rows = sorted(rejections, key=lambda row: (row.source, row.reason, row.sha256 or ""))
    frame = pd.DataFrame([vars(row) for row in rows], columns=SCHEMA.names)
    write_table(frame, SCHEMA, directory / QUARANTINE)


def read_quarantine(directory: Path) -> pd.DataFrame:
    """The refused images of an image set's directory."""
    frame: pd.DataFrame = pq.read_table(directory / QUARANTINE).to_pandas()
    return frame


def count_reasons(rejections: Iterable[Rejection]) -> dict[str, int]:
    """How many images each reason refused."""
    return dict(sorted(Counter(rejection.reason for rejection in rejections).items()))


def describe(rejections: Sequence[Rejection], shown: int = 5) -> str:
    """A sentence for a person: the counts, and the first few files with what was expected of them."""
    counts = ", ".join(f"{count} {reason}" for reason, count in count_reasons(rejections).items())
    first = "; ".join(f"{row.source}: {row.expected}" for row in rejections[:shown])
    return f"{counts} ({first}{'; …' if len(rejections) > shown else ''})"
