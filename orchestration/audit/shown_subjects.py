"""What is known of trainings by the subjects they were shown: the shipped start weights, and the judges."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import training
from orchestration.lineage import payload_file
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

Verdict = Literal["drawn", "subject", "never", "unknown"]
"""Drawn in these iterations; its subject was shown, in other pictures; never shown; cannot be said any more."""

JUDGES_FILE = "judges.json"
_START = Path(training.__file__).parent / "shipped" / "original_network" / "subjects.json"
_RENDERED = "renderer:"


def start_verdict(subjects: Collection[str]) -> tuple[Verdict, str]:
    """Whether the training of the shipped start weights was shown one of the subjects, and why that is known."""
    known = json.loads(_START.read_text())
    first, end = int(known["first_subject"]), int(known["last_subject"]) + 1
    return _verdict(subjects, {"the start weights": (first, end)})


def judges_verdict(ws: Workspace, entry: LedgerEntry, subjects: Collection[str]) -> tuple[Verdict, str]:
    """The same for the judges that an entry made."""
    path = payload_file(ws.root, entry, JUDGES_FILE)
    if path is None:
        return "unknown", f"its {JUDGES_FILE} is neither in place nor in DVC's cache"
    judges: Mapping[str, Any] = json.loads(path.read_text())["judges"]
    return _verdict(subjects, {name: tuple(record["training_subjects"]) for name, record in judges.items()})


def _verdict(subjects: Collection[str], ranges: Mapping[str, tuple[int, int]]) -> tuple[Verdict, str]:
    if not subjects:
        return "unknown", "whom the image shows is not in the ledger"
    numbers = {name: name.removeprefix(_RENDERED) for name in subjects if name.startswith(_RENDERED)}
    for name, digits in sorted(numbers.items()):
        saw = [by for by, (first, end) in ranges.items() if digits.isdigit() and first <= int(digits) < end]
        if saw:
            return "subject", f"{', '.join(saw)} learnt from pictures of subject {name}"
    spans = ", ".join(f"{first:,} to {end - 1:,}" for first, end in sorted(set(ranges.values())))
    return "never", f"shown rendered subjects {spans} alone; the image shows {', '.join(sorted(subjects))}"
