"""A spool's folder: whose it is, what stands in it, how much of it was sent."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestration.graph import AssetId
from orchestration.workspace import Workspace

SPOOL = "spool"
HEADER, RECORDS, SENT, FILES = "run.json", "records.jsonl", "sent.json", "files"
END = "end"


class SpoolError(Exception):
    """A folder that is no spool that this version can read."""


class Header(BaseModel):
    """Whose run a spool belongs to, on which server, and when it began (ms since 1970).

    `mlflow_run` is set where the run is known already. An `afterword` is told after its step ended: it opens nothing
    again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int = 1
    server: str
    dagster_run: str
    asset: str
    partition: str | None
    parent: str
    at_ms: int
    mlflow_run: str | None = None
    afterword: bool = False

    @property
    def id(self) -> AssetId:
        return AssetId(self.asset, self.partition)


class Record(BaseModel):
    """One thing told: `kind` is a method of TrackedRun, `body` its arguments; `ends_at` is its last byte's place."""

    model_config = ConfigDict(frozen=True)
    n: int
    kind: str
    at_ms: int
    body: dict[str, Any]
    ends_at: int = 0


def folders(ws: Workspace) -> list[Path]:
    """Every spool folder of a workspace, the oldest first."""
    found = {}
    for path in (ws.state / SPOOL).glob("*"):
        with suppress(OSError):  # one that is sent meanwhile goes
            if path.is_dir():
                found[path] = path.stat().st_mtime_ns
    return sorted(found, key=lambda path: found[path])


def header_of(folder: Path) -> Header | None:
    """Whose a folder is; None when its process died while it made it. Raises SpoolError."""
    try:
        return Header.model_validate_json((folder / HEADER).read_text())
    except FileNotFoundError:
        return None
    except (ValidationError, ValueError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SpoolError(f"{folder} is no spool that can be read ({first}); it is left as it is.") from error


def records_left(folder: Path) -> int:
    """How many records of a folder were not sent, without taking it."""
    return lines(folder / RECORDS, read_mark(folder)[0])


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def lines(path: Path, start: int) -> int:
    """How many lines a file has from a byte on."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def read_mark(folder: Path) -> tuple[int, int]:
    """Up to which byte was sent, and the number of the next record."""
    try:
        found = json.loads((folder / SENT).read_text())
        return int(found["bytes"]), int(found["n"]) + 1
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def lock_of(folder: Path) -> FileLock:
    """The lock that tells that a folder's process lives; beside the folder, which goes while it is held."""
    # Of the process, not of the thread that took it.
    return FileLock(folder.with_name(f"{folder.name}.lock"), thread_local=False)


def let_go(folder: Path, lock: FileLock) -> None:
    """Release the lock of a folder that is gone."""
    folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)
    lock.release()


def write_small(path: Path, text: str) -> None:
    """Write a small file whole."""
    fresh = path.with_name(f"{path.name}.part")
    fresh.write_text(text)
    fresh.replace(path)
