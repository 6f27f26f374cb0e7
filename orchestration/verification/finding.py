"""What a verification finds, thing by thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from orchestration.store.ledger import Head

State = Literal["intact", "altered", "purged", "absent", "untrusted"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Finding:
    """The state of one thing. `excused`: it is absent, and nothing asks for it here."""

    thing: str
    state: State
    detail: str = ""
    excused: bool = False

    @property
    def wrong(self) -> bool:
        """Whether this alone lets a verification fail."""
        return self.state in ("altered", "untrusted") or (self.state == "absent" and not self.excused)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"thing": self.thing, "state": self.state, "detail": self.detail, "wrong": self.wrong}


@dataclass(frozen=True)
class Verification:
    """Everything that was found. `not_checked` says what was left out, `unreachable` what should have been checked."""

    findings: tuple[Finding, ...]
    head: Head | None
    not_checked: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.wrong)

    @property
    def holds(self) -> bool:
        """Whether nothing is altered, untrusted or missing, and nothing that was asked for stayed unchecked."""
        return not self.wrong and not self.unreachable

    @property
    def counts(self) -> Mapping[str, int]:
        """How many things are in each state that occurs."""
        known = Counter(one.state for one in self.findings)
        return {state: known[state] for state in STATES if known[state]}

    @property
    def summary(self) -> str:
        """One line for a terminal."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        ends = f"; the ledger ends at entry {self.head.seq}, {self.head.entry_hash}" if self.head else ""
        return f"{counts or 'nothing to verify'}{ends}."

    def record(self) -> dict[str, Any]:
        """As JSON: holds, counts, head, findings, what was not checked."""
        head = {"seq": self.head.seq, "entry_hash": self.head.entry_hash} if self.head else None
        return {
            "holds": self.holds,
            "counts": dict(self.counts),
            "head": head,
            "findings": [one.record() for one in self.findings],
            "not_checked": [*self.unreachable, *self.not_checked],
        }
