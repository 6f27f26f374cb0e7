"""Ingest batches: photographs of a drop, copied into the ingest folder all at once, and a record of each."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from data.errors import UserError
from data.sidecar import read_sidecar
from orchestration.automation.inbox_files import InboxFiles

RECORDS = Path(".editloom", "inbox", "batches")
_DOMAIN = b"editloom-ingest-batch-v1\0"


class Batch(BaseModel):
    """A drop that became a part of the ingest folder: its photographs' sha256 by name, and the sidecars beside them.

    `folder` is the ingest folder, relative to the workspace where it lies in there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    digest: str
    photographs: Mapping[str, str]
    sidecars: tuple[str, ...]
    inbox: str
    folder: str
    time: str

    @property
    def name(self) -> str:
        """The folder's name inside the ingest folder."""
        return f"batch-{self.digest[:12]}"


def records(root: Path) -> list[Batch]:
    """Every batch that was ever decided on in the workspace `root`, oldest first."""
    found = (Batch.model_validate_json(path.read_text()) for path in (root / RECORDS).glob("batch-*.json"))
    return sorted(found, key=lambda batch: (batch.time, batch.digest))


def decide(root: Path, inbox: str, folder: Path, photographs: Mapping[str, str], sidecars: Iterable[str]) -> Batch:
    """Write down that these photographs (sha256 by name) of an inbox become a batch in `folder`."""
    shown = folder.relative_to(root) if folder.is_relative_to(root) else folder
    digest = hashlib.sha256(_DOMAIN + json.dumps(sorted(photographs.items())).encode()).hexdigest()
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    batch = Batch(
        digest=digest, photographs=dict(photographs), sidecars=tuple(sorted(sidecars)), inbox=inbox, folder=str(shown),
        time=now,
    )  # fmt: skip
    path = _record(root, batch)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(batch.model_dump_json(indent=1))
    fresh.replace(path)
    return batch


def withdraw(root: Path, batch: Batch) -> None:
    """Undo a decision: what was dropped changed before it was copied, and is looked at anew."""
    shutil.rmtree(_staged(root, batch), ignore_errors=True)
    _record(root, batch).unlink(missing_ok=True)


def place(root: Path, batch: Batch, inbox: InboxFiles, until: float) -> bool:
    """Copy a batch into the ingest folder, where it appears all at once; False when `until` (monotonic) came first.

    The next call goes on from there. Raises ChangedError for a file that is not what it was, and UserError for a
    sidecar that ingest would refuse.
    """
    target, staged = root / batch.folder / batch.name, _staged(root, batch)
    if target.is_dir():
        return True
    for name, sha256 in batch.photographs.items():
        if (staged / name).is_file():
            continue
        if time.monotonic() > until:
            return False
        if _copied(inbox, name, staged / name) != sha256:
            raise ChangedError(name)
    for name in batch.sidecars:
        _place_sidecar(batch, inbox, name, staged)
    _sync(staged)
    staged.rename(target)
    return True


class ChangedError(Exception):
    """A file of the inbox went or changed after it was decided on."""


def _copied(inbox: InboxFiles, name: str, target: Path) -> str:
    try:
        return inbox.copy(name, target)
    except FileNotFoundError:
        raise ChangedError(name) from None


def _place_sidecar(batch: Batch, inbox: InboxFiles, name: str, staged: Path) -> None:
    """Copy the rows that speak of the batch: a sidecar may speak of earlier drops too."""
    folder = name.rpartition("/")[0]
    below = {
        photo.removeprefix(f"{folder}/") for photo in batch.photographs if not folder or photo.startswith(f"{folder}/")
    }
    target = staged / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_rows_about(below, _text(inbox, name)), encoding="utf-8")
    read_sidecar(target, below, f"{name} of the inbox")


def _text(inbox: InboxFiles, name: str) -> str:
    try:
        return inbox.read(name).decode("utf-8-sig")
    except FileNotFoundError:
        raise ChangedError(name) from None
    except UnicodeDecodeError as error:
        message = f"The sidecar {name} of the inbox cannot be read: {error}."
        raise UserError(message, "Give a CSV file in UTF-8.") from None


def _rows_about(photographs: Collection[str], sidecar: str) -> str:
    """A sidecar with the rows of these photographs; what is wrong with it stays, for ingest's own reader to say."""
    reader, text = csv.DictReader(io.StringIO(sidecar, newline="")), io.StringIO()
    columns = reader.fieldnames or ()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in reader:
        if "file" not in columns or (row["file"] or "").strip() in photographs:
            more = row.pop(None, [])
            writer.writerow([*(value or "" for value in row.values()), *more])
    return text.getvalue()


def _sync(folder: Path) -> None:
    """Let the bytes reach the disk before the folder gets its name."""
    for path in (*(path for path in folder.rglob("*") if path.is_file()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _staged(root: Path, batch: Batch) -> Path:
    """Hidden, so that no ingest sees it, and on the file system of the ingest folder."""
    return root / batch.folder / f".{batch.name}.part"


def _record(root: Path, batch: Batch) -> Path:
    return root / RECORDS / f"{batch.name}.json"
