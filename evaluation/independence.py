"""What stood in a loss or made a mask may not judge, nor what was trained on be measured: asserted on lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from training.judges.loading import JudgeRecord, JudgesManifest

Range = tuple[int, int]
RENDERED = "renderer:"
_SHOWN = 3


@dataclass(frozen=True)
class Seen:
    """What one network was trained on: subjects by name, or by ranges [first, end) of the renderer, and images.

    `images` are hashes: of an image's own bytes, of the one it was cut from, of the photograph's file.
    """

    by: str
    subjects: frozenset[str] = frozenset()
    ranges: tuple[Range, ...] = ()
    images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class HeldOutFaces:
    """The subjects and image hashes (see `Seen`) that a model is measured on."""

    subjects: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Upstream:
    """What took part in making a model: training judges by name, a user's own files by sha256, and who saw whom."""

    judges: Mapping[str, JudgeRecord] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    seen: tuple[Seen, ...] = ()


def check_independence(manifest: JudgesManifest) -> list[str]:
    """Return every way in which an evaluation judge of a set depends on its training judges; empty when none.

    Compared with each training judge: its weights, their ancestors, its training subjects.
    """
    found = _judges_apart(of_role(manifest, "eval"), of_role(manifest, "train"))
    for name, record in manifest.judges.items():
        if _overlap(record.training_subjects, record.held_out_subjects):
            found.append(f"{name} is scored on subjects that it was trained on")
    return found


def check_measurement(manifest: JudgesManifest, upstream: Upstream, held_out: HeldOutFaces) -> list[str]:
    """Return every way in which a measurement depends on what made the measured model; empty when none.

    `manifest` is the set whose evaluation judges measure. They may share neither weights, ancestors nor training
    subjects with what stood upstream, and neither they nor anything upstream may have seen the held-out images.
    """
    judges = of_role(manifest, "eval")
    found = check_independence(manifest) + _judges_apart(judges, upstream.judges)
    for name, record in judges.items():
        known = {record.sha256, *record.weight_ancestors}
        found += [
            f"{name} is, or comes from, {file}, which made the masks"
            for file, d in upstream.files.items()
            if d in known
        ]
        found += [text for seen in upstream.seen for text in _saw_judges_subjects(name, record, seen)]
    trained = [*upstream.seen, *(_judge_seen(n, r) for n, r in {**upstream.judges, **judges}.items())]
    found += [text for seen in trained for text in _saw_held_out(seen, held_out)]
    return list(dict.fromkeys(found))


def of_role(manifest: JudgesManifest, role: str) -> dict[str, JudgeRecord]:
    """The judges of a role, by name."""
    return {name: record for name, record in manifest.judges.items() if record.role == role}


def _judges_apart(judges: Mapping[str, JudgeRecord], others: Mapping[str, JudgeRecord]) -> list[str]:
    pairs = product(judges.items(), others.items())
    return [text for (name, record), (other, made) in pairs for text in _between(name, record, other, made)]


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


def _saw_judges_subjects(judge: str, record: JudgeRecord, seen: Seen) -> Iterator[str]:
    """An evaluation judge trained on a subject that a measured network was trained on too."""
    for used in seen.ranges:
        if _overlap(record.training_subjects, used):
            shared = _text(_common(record.training_subjects, used))
            yield f"{judge} was trained on subjects of {shared}, which {seen.by} saw"
    shared_names = _within(seen.subjects, record.training_subjects)
    if shared_names:
        yield f"{judge} was trained on {_some(shared_names)}, which {seen.by} saw"


def _saw_held_out(seen: Seen, held_out: HeldOutFaces) -> Iterator[str]:
    subjects = set(seen.subjects & held_out.subjects)
    for used in seen.ranges:
        subjects.update(_within(held_out.subjects, used))
    if subjects:
        yield f"{seen.by} was trained on held-out {_some(sorted(subjects))}"
    images = seen.images & held_out.images
    if images:
        yield f"{seen.by} was trained on {len(images)} held-out images, such as {min(images)[:12]}"


def _judge_seen(name: str, record: JudgeRecord) -> Seen:
    return Seen(name, ranges=(record.training_subjects,))


def _within(subjects: frozenset[str], used: Range) -> list[str]:
    """The rendered subjects whose number lies in [first, end)."""
    numbers = {name: name.removeprefix(RENDERED) for name in subjects if name.startswith(RENDERED)}
    return sorted(name for name, digits in numbers.items() if digits.isdigit() and used[0] <= int(digits) < used[1])


def _some(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - _SHOWN} more" if len(subjects) > _SHOWN else ""
    return f"subject{'s' if len(subjects) > 1 else ''} {', '.join(subjects[:_SHOWN])}{more}"


def _common(a: Range, b: Range) -> Range:
    return max(a[0], b[0]), min(a[1], b[1])


def _overlap(a: Range, b: Range) -> bool:
    first, end = _common(a, b)
    return first < end


def _text(subjects: Range) -> str:
    return f"[{subjects[0]:,}, {subjects[1]:,})"
