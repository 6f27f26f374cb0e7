"""What a purge removes: named before anything goes, and again in the ledger when it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

PHOTOGRAPH, SIDECAR, PAYLOAD, EVIDENCE = "photograph", "sidecar row", "payload", "evidence"
CHECKPOINTS, INDEX, CACHE, MLFLOW, DAGSTER = "checkpoints", "index", "dvc cache", "mlflow", "dagster"
REMOTE = "remote:"
"""The places that bytes are removed from; a DVC remote is `remote:NAME`."""


class Removal(BaseModel):
    """One file or object. `path` is relative to the workspace where it lies in there; a run's id comes first in MLflow
    and Dagster. `row` names the line of a sidecar."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    where: str
    path: str
    md5: str = ""
    sha256: str = ""
    row: str = ""


class PurgedVersion(BaseModel):
    """A version of an image set that held the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    asset: str
    version: str


class PurgePlan(BaseModel):
    """The body of a ledger entry of kind `purge`, and the intent that is written down before anything is removed.

    `other_images` of old versions go with the shards that are removed; `unexamined` are versions whose manifest is
    nowhere to be had: what they hold, if it is anywhere, is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    image: str | None
    subject: str | None
    images: tuple[str, ...]
    versions: tuple[PurgedVersion, ...]
    removed: tuple[Removal, ...]
    other_images: int
    unexamined: tuple[PurgedVersion, ...]
    by: str
    reason: str

    @property
    def is_of(self) -> str:
        """The ledger's name for what it speaks of."""
        return self.image or f"subject:{self.subject}"

    @property
    def body(self) -> Mapping[str, Any]:
        """What the ledger says."""
        return self.model_dump(mode="json", exclude_defaults=False)

    def sentence(self, done: str) -> str:
        """How much goes, for a person."""
        if not self.removed:
            return f"Nothing that shows {self.is_of} is left here."
        lost = f", and with them {self.other_images} other images of old versions" if self.other_images else ""
        unknown = f" Not examined: {len(self.unexamined)} versions without a manifest." if self.unexamined else ""
        return f"{len(self.removed)} files and objects {done}{lost}.{unknown}"


@dataclass(frozen=True)
class Shards:
    """Objects of old image-set versions that hold the images, by md5, with the path of each in its payload."""

    objects: Mapping[str, str]
    other_images: int
