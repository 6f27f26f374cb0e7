"""Changes of consent, one by one or from a CSV file: checked as a whole, then written, all or none."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data.errors import UserError
from orchestration.consent.naming import Named, image_sha256, named_images, named_subject
from orchestration.consent.registry import ConsentChange, ConsentStates, ConsentWord, consent_states, record_changes
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

COLUMNS = ("image", "subject", "state", "reason", "time", "by")
STATES: Mapping[str, ConsentWord] = {"withdrawn": "withdrawn", "granted": "granted"}


@dataclass(frozen=True)
class _Row:
    """One line of the file: `of` is an image's sha256 or a subject's name."""

    of: str
    is_image: bool
    state: ConsentWord
    reason: str
    time: str
    by: str


def change_one(ws: Workspace, known: Named, state: ConsentWord, reason: str, by: str) -> list[LedgerEntry]:
    """Write one change; nothing when it stands already. Raises UserError without a reason, and for a grant of what was
    never withdrawn."""
    for value, name in ((reason, "--reason"), (by, "--by")):
        if not value.strip():
            raise UserError(f"A change of consent needs {name}.", "It stands in the ledger: say why, and who says so.")
    states = consent_states(ws.root)
    if state == "granted" and not _was_withdrawn(states, known):
        raise UserError(f"Nobody withdrew {known.text}.", "`editloom consent list` shows what was withdrawn.")
    return _write(ws, [_change(known, state, reason, by, "")])


def import_changes(ws: Workspace, file: Path) -> list[LedgerEntry]:
    """Write every change of a CSV file that does not stand yet; images that are not here yet are taken too.

    Columns: image (sha256 or a file) or subject, state (withdrawn, granted), reason, time (ISO 8601, may be empty), by.
    Raises UserError naming the first row that is wrong; then nothing is written.
    """
    rows = list(_rows(file))
    images = list(dict.fromkeys(row.of for row in rows if row.is_image))
    subjects = list(dict.fromkeys(row.of for row in rows if not row.is_image))
    by_image = dict(zip(images, named_images(ws, images), strict=True))
    by_subject = {subject: named_subject(ws, subject) for subject in subjects}
    known = ((by_image if row.is_image else by_subject)[row.of] for row in rows)
    return _write(ws, [_change(one, r.state, r.reason, r.by, r.time) for one, r in zip(known, rows, strict=True)])


def _change(known: Named, state: ConsentWord, reason: str, by: str, time: str) -> ConsentChange:
    return ConsentChange(
        state=state, images=known.hashes, subject=known.subject, reason=reason.strip(), by=by.strip(), time=time
    )


def _write(ws: Workspace, changes: Iterable[ConsentChange]) -> list[LedgerEntry]:
    fresh = list(_fresh(consent_states(ws.root), changes))
    return record_changes(ws.root, fresh) if fresh else []


def _fresh(states: ConsentStates, changes: Iterable[ConsentChange]) -> Iterator[ConsentChange]:
    """Those that say something new: by default consent is granted, or nothing would be in an image set."""
    said: dict[str, str] = {image: state.change.state for image, state in states.images.items()}
    of_subjects = {subject: state.change for subject, state in states.subjects.items()}
    for change in changes:
        if change.subject is None:
            known = all(said.get(image, "granted") == change.state for image in change.images)
            said.update(dict.fromkeys(change.images, change.state))
        else:
            before = of_subjects.get(change.subject)
            known = (before.state if before else "granted") == change.state
            known = known and (change.state == "granted" or before is None or set(change.images) <= set(before.images))
            of_subjects[change.subject] = change
        if not known:
            yield change


def _was_withdrawn(states: ConsentStates, known: Named) -> bool:
    if known.subject is not None:
        state = states.subjects.get(known.subject)
        return state is not None and state.withdrawn
    return any(image in states.images and states.images[image].withdrawn for image in known.hashes)


def _rows(file: Path) -> Iterator[_Row]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}.", "Give a CSV file in UTF-8.") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="")
    columns = tuple(reader.fieldnames or ())
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or "state" not in columns or not {"image", "subject"} & set(columns):
        said = f"unknown column '{unknown[0]}'" if unknown else f"the columns are {', '.join(columns) or 'none'}"
        raise UserError(f"{file.name}, row 1: {said}.", f"Start with a line that names {', '.join(COLUMNS)}.")
    for cells in reader:
        yield _row(f"{file.name}, row {reader.line_num}", file.parent, {k: (v or "").strip() for k, v in _flat(cells)})


def _flat(cells: Mapping[str, str | list[str]]) -> Iterator[tuple[str, str]]:
    return ((key, value if isinstance(value, str) else ",".join(value)) for key, value in cells.items())


def _row(where: str, folder: Path, cells: Mapping[str, str]) -> _Row:
    image, subject, state = (cells.get(name, "") for name in ("image", "subject", "state"))
    if cells.get(""):
        raise UserError(f"{where}: more cells than columns.", "Put cells with commas in quotes.")
    if bool(image) == bool(subject):
        raise UserError(f"{where}: expected an image or a subject, and not both.", "Leave one of the cells empty.")
    if state not in STATES:
        raise UserError(f"{where}: state is '{state}'.", f"Write {' or '.join(STATES)}.")
    for name in ("reason", "by"):
        if not cells.get(name):
            raise UserError(f"{where}: {name} is empty.", "It stands in the ledger: say why, and who says so.")
    time = cells.get("time", "")
    try:
        datetime.fromisoformat(time or "2000-01-01")
    except ValueError:
        raise UserError(f"{where}: time is '{time}'.", "Write it as 2025-01-31 or 2025-01-31T12:00.") from None
    try:
        of = image_sha256(str(folder / image) if (folder / image).is_file() else image) if image else subject
    except UserError as error:
        raise UserError(f"{where}: {error.message}", error.hint) from None
    return _Row(of, bool(image), STATES[state], cells["reason"], time, cells["by"])
