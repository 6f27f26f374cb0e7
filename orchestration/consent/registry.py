"""Consent in the ledger: one entry per change; the latest entry on an image, or on a subject, says what holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from data.consent import Withheld
from orchestration.store import database, envelope, ledger
from orchestration.store.ledger import LedgerEntry

SUBJECT = "subject:"
ConsentWord = Literal["withdrawn", "granted"]


class ConsentChange(BaseModel):
    """The body of a ledger entry of kind `consent`, on one image (with all hashes it is known by) or on one subject.

    Of a subject, `images` are the hashes of its images that were known then. `time` is when the person said so, where
    that is known and earlier than the entry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    state: ConsentWord
    images: tuple[str, ...] = ()
    subject: str | None = None
    reason: str
    by: str
    time: str = ""

    @property
    def is_of(self) -> str:
        """The ledger's name for what it speaks of: `subject:NAME`, or the image's first hash."""
        return f"{SUBJECT}{self.subject}" if self.subject is not None else self.images[0]


@dataclass(frozen=True)
class State:
    """What holds, and the entry that says so."""

    change: ConsentChange
    entry: LedgerEntry

    @property
    def withdrawn(self) -> bool:
        return self.change.state == "withdrawn"


@dataclass(frozen=True)
class ConsentStates:
    """The latest state of each image (by each of its hashes) and of each subject that was ever spoken of."""

    images: Mapping[str, State]
    subjects: Mapping[str, State]

    @property
    def withheld(self) -> Withheld:
        """Withdrawn images and subjects; of these subjects also the images by hash, under whichever name they come."""
        own = {image for image, state in self.images.items() if state.withdrawn}
        gone = {subject: state for subject, state in self.subjects.items() if state.withdrawn}
        theirs = {image for state in gone.values() for image in state.change.images}
        return Withheld(frozenset(own | theirs), frozenset(gone))

    def withdrawals(self, hashes: Iterable[str], subjects: Iterable[str]) -> list[State]:
        """The withdrawals that withhold any of these, each once, oldest first."""
        wanted, named = set(hashes), set(subjects)
        found = [state for image, state in self.images.items() if image in wanted]
        found += [
            state
            for subject, state in self.subjects.items()
            if subject in named or wanted.intersection(state.change.images)
        ]
        known = {state.entry.seq: state for state in found if state.withdrawn}
        return [known[seq] for seq in sorted(known)]


def consent_entries(root: Path, at_seq: int | None = None) -> list[State]:
    """Every change of consent, oldest first; up to the ledger's entry `at_seq` if given."""
    entries = ledger.entries(root, kind=ledger.CONSENT)
    return [
        State(ConsentChange.model_validate(entry.body), entry)
        for entry in entries
        if at_seq is None or entry.seq <= at_seq
    ]


def consent_states(root: Path, at_seq: int | None = None) -> ConsentStates:
    """What holds now, or held when the ledger's entry `at_seq` was its newest."""
    images: dict[str, State] = {}
    subjects: dict[str, State] = {}
    for state in consent_entries(root, at_seq):
        if state.change.subject is not None:
            subjects[state.change.subject] = state
        else:
            images.update(dict.fromkeys(state.change.images, state))
    return ConsentStates(images, subjects)


def withheld(root: Path, at_seq: int | None = None) -> Withheld:
    """What no image set may hold by the ledger as it stands, or stood at `at_seq`."""
    return consent_states(root, at_seq).withheld


def withheld_digest(root: Path) -> str:
    """sha256 (hex) over what is withheld now, for the record; empty when nothing is."""
    gone = withheld(root)
    said = envelope.canonical({"images": sorted(gone.images), "subjects": sorted(gone.subjects)})
    return hashlib.sha256(said.encode()).hexdigest() if gone else ""


def record_changes(root: Path, changes: Sequence[ConsentChange]) -> list[LedgerEntry]:
    """Append changes to the ledger, all or none. Raises UserError without a signing key."""
    with database.writing(root) as connection:
        return [
            ledger.append(
                root,
                connection,
                ledger.CONSENT,
                change.is_of,
                change.model_dump(mode="json"),
                digests=None if change.subject is not None else {"sha256": change.is_of},
            )
            for change in changes
        ]
