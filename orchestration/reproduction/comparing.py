"""One asset that was made again beside its ledger entry: whether it is the same, and if not, what else was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestration.lineage import SHOWN_DIGITS
from orchestration.reproduction.content import FileDifference
from orchestration.reproduction.payloads import compare_payloads
from orchestration.reproduction.result import AssetComparison, Verdict
from orchestration.store.environment import environment_digest
from orchestration.store.ledger import LedgerEntry
from orchestration.store.payload import digest_payload

NOTHING = "everything that is recorded of it was the same: what it read or drew beyond that is in no record"


def compare_entry(
    root: Path, made_in: Path, entry: LedgerEntry, device: str, known: Mapping[str, AssetComparison], words: str
) -> AssetComparison:
    """Compare the payload in the workspace `made_in` with what an entry of the workspace `root` made.

    `known` are the comparisons so far by `subject@version`; `words` are the end of what the run said when it failed.
    """
    made, again = entry.materialization, made_in / entry.materialization.wanted.id.path
    version = digest_payload(again).root if again.is_dir() else None
    files: tuple[FileDifference, ...] = ()
    causes: tuple[str, ...] = ()
    verdict: Verdict = "identical"
    if version is None:
        verdict, causes = "not made", (words or "the run left it out",)
    elif version != made.data_version:
        files = compare_payloads(root, entry, again)
        allowed = made.wanted.device_class != device or _moved_inputs(entry, known)
        verdict = "within tolerance" if allowed and all(one.within for one in files) else "differs"
        causes = tuple(_causes(entry, device, known)) or (NOTHING,)
    return AssetComparison(
        entry.subject, entry.entry_hash, made.data_version, version, made.wanted.device_class, device, verdict, files,
        causes,
    )  # fmt: skip


def _inputs(entry: LedgerEntry, known: Mapping[str, AssetComparison]) -> Iterator[tuple[str, AssetComparison]]:
    for name, version in entry.materialization.wanted.inputs.items():
        if (found := known.get(f"{name}@{version}")) is not None:
            yield name, found


def _moved_inputs(entry: LedgerEntry, known: Mapping[str, AssetComparison]) -> bool:
    """Whether an input came out within its tolerance and no closer: what is made from it moves too."""
    return any(found.verdict == "within tolerance" for _, found in _inputs(entry, known))


def _causes(entry: LedgerEntry, device: str, known: Mapping[str, AssetComparison]) -> Iterator[str]:
    """Settings, seed and code version were compared before anything ran: what is left to differ."""
    made = entry.materialization
    for name, found in _inputs(entry, known):
        if found.verdict != "identical" and found.version is not None:
            yield f"input {name} is {found.version[:SHOWN_DIGITS]}, recorded {found.recorded_version[:SHOWN_DIGITS]}"
    if made.wanted.device_class != device:
        yield f"device class {device}, recorded {made.wanted.device_class}"
    if made.environment != environment_digest():
        yield "the installed software differs (environment digest)"
    if not made.git_clean:
        yield "files were not committed when it was made: code or settings may have been others"
