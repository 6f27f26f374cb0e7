"""What stood in a loss or made a mask may not judge: asserted on the judges' own lineage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from training.judges.loading import JudgeRecord, JudgesManifest

Range = tuple[int, int]


def check_independence(manifest: JudgesManifest, trained_on: Sequence[Range] = ()) -> list[str]:
    """Return every way in which an evaluation judge depends on what it judges; empty when there is none.

    Compared with each training judge: its weights, their ancestors, its training subjects. `trained_on` are further
    ranges [first, end) of subjects that a judged network was trained on, which no evaluation judge may have seen.
    """
    of_role = {role: {n: r for n, r in manifest.judges.items() if r.role == role} for role in ("train", "eval")}
    found = [
        violation
        for (judge, record), (other, other_record) in product(of_role["eval"].items(), of_role["train"].items())
        for violation in _between(judge, record, other, other_record)
    ]
    for name, record in manifest.judges.items():
        if _overlap(record.training_subjects, record.held_out_subjects):
            found.append(f"{name} is scored on subjects that it was trained on")
    for name, record in of_role["eval"].items():
        found += [
            f"{name} was trained on subjects of {_text(used)}, which the judged networks saw"
            for used in trained_on
            if _overlap(record.training_subjects, used)
        ]
    return found


def _between(judge: str, record: JudgeRecord, other: str, other_record: JudgeRecord) -> list[str]:
    """What an evaluation judge shares with a training judge."""
    found = []
    if record.sha256 == other_record.sha256:
        found.append(f"{judge} and {other} are the same weights")
    lineage = {record.sha256, *record.weight_ancestors} & {other_record.sha256, *other_record.weight_ancestors}
    if lineage and record.sha256 != other_record.sha256:
        found.append(f"{judge} and {other} share the weight ancestor {min(lineage)[:12]}")
    if _overlap(record.training_subjects, other_record.training_subjects):
        shared = _text(_common(record.training_subjects, other_record.training_subjects))
        found.append(f"{judge} and {other} were both trained on subjects of {shared}")
    return found


def _common(a: Range, b: Range) -> Range:
    return max(a[0], b[0]), min(a[1], b[1])


def _overlap(a: Range, b: Range) -> bool:
    first, end = _common(a, b)
    return first < end


def _text(subjects: Range) -> str:
    return f"[{subjects[0]:,}, {subjects[1]:,})"
