"""When files of an inbox are complete, which of them are new, and when they are enough for a batch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.photo_files import is_pattern
from orchestration.automation import batches
from orchestration.automation.batches import Batch, ChangedError
from orchestration.automation.inbox_files import InboxFiles, is_sidecar
from orchestration.automation_sections import Inbox
from orchestration.consent.registry import withheld
from orchestration.graph import AssetId
from orchestration.outside_files import ingest_of
from orchestration.photo_folder import photograph_hashes
from orchestration.workspace import Workspace

SEEN = Path(".editloom", "inbox", "seen.json")
PATIENCE = 10
"""A file that changes for so many times debounce_s holds the others of its drop up no longer."""


@dataclass(frozen=True)
class Settling:
    """A file that is not known to be complete: its stamp, since when that stays, and when the file was first seen."""

    stamp: str
    since: float
    first: float


@dataclass(frozen=True)
class Cursor:
    """What a look remembers for the next one: files that settle, and the batches for which a run was asked."""

    settling: Mapping[str, Settling]
    requested: tuple[str, ...]

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """What `write` wrote; nothing for a new sensor, or one whose cursor a person changed to something else."""
        try:
            known = json.loads(text or "{}")
            settling = {name: Settling(*values) for name, values in known.get("settling", {}).items()}
            return cls(settling, tuple(known.get("requested", ())))
        except (ValueError, TypeError, AttributeError):
            return cls({}, ())

    def write(self) -> str:
        settling = {name: [one.stamp, one.since, one.first] for name, one in self.settling.items()}
        return json.dumps({"settling": settling, "requested": self.requested})


@dataclass(frozen=True)
class Look:
    """What a look at the inbox found: batches that need a run, or else why there is none."""

    batches: tuple[Batch, ...]
    cursor: Cursor
    said: str


def target_of(ws: Workspace, inbox: Inbox) -> tuple[AssetId, Path]:
    """The image set that the drop belongs to, and the folder that it is ingested from.

    Raises UserError when that is no folder of its own.
    """
    asset_id = AssetId("attribute_images", inbox.attribute) if inbox.attribute else AssetId("images")
    ingest = ingest_of(ws.params(), asset_id)
    if ingest is None or ingest.path is None:
        raise UserError(
            f"{asset_id} is not made from a folder.", "Set images.source to folder, and images.ingest.path."
        )
    folder = ws.root / ingest.path
    if is_pattern(ingest.path) or folder.is_file():
        raise UserError(f"The inbox cannot add to {ingest.path}, which is no folder.", "Name a folder in ingest.path.")
    place = str(inbox.path)
    if "://" not in place:
        watched = (ws.root / Path(place).expanduser()).resolve()
        if watched.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(watched):
            raise UserError(
                f"The inbox {place} and the folder {ingest.path} lie in each other.",
                "Let automation.inbox.path be a folder beside it: ingest would read files that are not complete.",
            )
    return asset_id, folder


def look(ws: Workspace, inbox: Inbox, cursor: Cursor, now: float, until: float) -> Look:
    """Look at the inbox at the time `now` (s), for as long as `until` (of `time.monotonic`).

    What takes longer goes on with the next look. Raises UserError for settings, an inbox or a sidecar that cannot be.
    """
    _, folder = target_of(ws, inbox)
    files = InboxFiles.at(str(inbox.path), ws.root)
    undone = [batch for batch in batches.records(ws.root) if batch.digest not in cursor.requested]
    if undone:
        return _finished(ws, undone, files, cursor, until)
    stamps = files.stamps()
    seen = _recall(ws.root)
    settling = _settling(stamps, seen, cursor.settling, now)
    complete = [name for name, one in settling.items() if now - one.since >= inbox.debounce_s]
    late = _read(files, complete, settling, seen, until)
    _save(ws.root, {name: known for name, known in seen.items() if name in stamps})
    left = {name: one for name, one in settling.items() if name not in seen or seen[name][0] != one.stamp}
    cursor = Cursor(left, cursor.requested)
    if late:
        return Look((), cursor, late)
    waiting = [name for name, one in left.items() if now - one.first < PATIENCE * inbox.debounce_s]
    try:
        fresh = _fresh(ws, inbox, {name: seen[name][1] for name in stamps if name in seen}, until)
    except TimeoutError as late_too:
        return Look((), cursor, f"the ingest folder: {late_too}")
    said = f"{len(fresh):,} new photographs of {inbox.threshold:,}, {len(left):,} files not complete"
    if waiting or len(fresh) < inbox.threshold:
        return Look((), cursor, said)
    sidecars = [name for name in stamps if is_sidecar(name) and name in seen]
    batch = batches.decide(ws.root, str(inbox.path), folder, fresh, sidecars)
    return _finished(ws, [batch], files, cursor, until)


def _finished(ws: Workspace, undone: list[Batch], files: InboxFiles, cursor: Cursor, until: float) -> Look:
    """Copy what was decided on; of what stands in its place, a run is to be asked."""
    placed: list[Batch] = []
    for batch in undone:
        try:
            if not batches.place(ws.root, batch, files, until):
                return Look(tuple(placed), _asked(cursor, placed), f"{batch.name} is being copied")
        except ChangedError as changed:
            batches.withdraw(ws.root, batch)
            _save(ws.root, {name: known for name, known in _recall(ws.root).items() if name != str(changed)})
            return Look(tuple(placed), _asked(cursor, placed), f"{changed} changed after it was complete")
        placed.append(batch)
    return Look(tuple(placed), _asked(cursor, placed), "")


def _asked(cursor: Cursor, placed: list[Batch]) -> Cursor:
    return Cursor(cursor.settling, (*cursor.requested, *(batch.digest for batch in placed)))


def _settling(
    stamps: Mapping[str, str], seen: Mapping[str, tuple[str, str]], before: Mapping[str, Settling], now: float
) -> dict[str, Settling]:
    """The files that are new or changed, with the time since when each has its stamp."""
    found: dict[str, Settling] = {}
    for name, stamp in stamps.items():
        if name in seen and seen[name][0] == stamp:
            continue
        known = before.get(name)
        stays = known is not None and known.stamp == stamp
        found[name] = known if known and stays else Settling(stamp, now, known.first if known else now)
    return found


def _read(
    files: InboxFiles,
    complete: list[str],
    settling: Mapping[str, Settling],
    seen: dict[str, tuple[str, str]],
    until: float,
) -> str:
    """Read complete files into `seen`; what is to be said when the time was not enough. An unreadable one waits."""
    for number, name in enumerate(complete):
        if time.monotonic() > until:
            return f"{number:,} of {len(complete):,} complete files were read"
        try:
            seen[name] = (settling[name].stamp, files.sha256(name))
        except OSError:
            continue
    return ""


def _fresh(ws: Workspace, inbox: Inbox, complete: Mapping[str, str], until: float) -> dict[str, str]:
    """The complete photographs whose bytes are neither ingested, nor in a batch, nor withdrawn; each once.

    Raises TimeoutError at `until`.
    """
    asset_id, _ = target_of(ws, inbox)
    ingest = ingest_of(ws.params(), asset_id)
    known = set(photograph_hashes(ws.root, ingest, until).values()) if ingest is not None else set()
    known |= withheld(ws.root).images
    known |= {sha256 for batch in batches.records(ws.root) for sha256 in batch.photographs.values()}
    found: dict[str, str] = {}
    for name, sha256 in complete.items():
        if not is_sidecar(name) and sha256 not in known:
            known.add(sha256)
            found[name] = sha256
    return found


def _recall(root: Path) -> dict[str, tuple[str, str]]:
    """Stamp and sha256 of files that were complete: a memory that may be lost, at the price of reading them again."""
    try:
        known = json.loads((root / SEEN).read_bytes())
        return {name: (str(stamp), str(sha256)) for name, (stamp, sha256) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _save(root: Path, seen: Mapping[str, tuple[str, str]]) -> None:
    path = root / SEEN
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(json.dumps(seen))
    fresh.replace(path)
