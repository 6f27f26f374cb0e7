"""The ledger itself: chain, signatures, look-up tables, and whether it ends where others have seen it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.store import keys, ledger
from orchestration.store.chain import Fault, faults
from orchestration.verification.finding import Finding, State
from orchestration.verification.recorded import SHOWN_DIGITS, Recorded

SETTLED = Path(".editloom", "settled")


@dataclass(frozen=True)
class Witness:
    """Somebody outside the ledger who knows an entry of it; `said` is who, and which. `seq` is None where untold."""

    said: str
    entry_hash: str
    seq: int | None = None


def check_ledger(root: Path, recorded: Recorded) -> Iterator[Finding]:
    """A finding per entry that is not as it was signed, one per key that is not trusted; or that all is intact."""
    by_entry: dict[int, list[Fault]] = {}
    for fault in faults(root):
        by_entry.setdefault(fault.seq, []).append(fault)
    strange = {seq for seq, found in by_entry.items() if all(one.what == "untrusted" for one in found)}
    for seq in sorted(by_entry.keys() - strange):
        yield _entry_finding(seq, by_entry[seq])
    yield from _strangers(root, recorded, strange)
    if not by_entry:
        signers = {one["keyid"][:SHOWN_DIGITS] for entry in recorded.entries for one in entry.signatures}
        detail = f"{len(recorded.entries)} entries, chained and signed by {', '.join(sorted(signers))}"
        yield Finding("ledger", "intact", detail)


def witnesses_here(root: Path, recorded: Recorded) -> list[Witness]:
    """What this checkout and the registrations know of the ledger's entries."""
    found = [
        Witness(f"this checkout followed the decision of entry {path.name[:SHOWN_DIGITS]}", path.name)
        for path in sorted((root / SETTLED).glob("*"))
    ]
    for entry in recorded.of_kind(ledger.RELEASE):
        head, name = entry.body.get("head"), f"version {entry.body.get('version')} of {entry.subject}"
        if isinstance(head, dict) and {"seq", "entry_hash"} <= head.keys():
            said = f"{name} was signed at entry {head['seq']}, says entry {entry.seq}"
            found.append(Witness(said, str(head["entry_hash"]), int(head["seq"])))
    return found


def check_end(recorded: Recorded, witnesses: Iterable[Witness]) -> Iterator[Finding]:
    """Whether every entry that a witness knows is there: a ledger whose tail was cut off is whole in itself."""
    end = recorded.head.seq if recorded.head else 0
    missed = [one for one in witnesses if one.entry_hash not in recorded.hashes]
    cut = [one.said for one in missed if one.seq is None or one.seq > end]
    other = [one.said for one in missed if one.seq is not None and one.seq <= end]
    if cut:
        yield Finding("ledger's end", "altered", f"the ledger ends at entry {end}, but {'; '.join(cut)}")
    if other:
        yield Finding("ledger's past", "altered", f"other entries stand where {'; '.join(other)}")


def _entry_finding(seq: int, found: Sequence[Fault]) -> Finding:
    state: State = "absent" if any(one.what == "missing" for one in found) else "altered"
    sentences = dict.fromkeys(one.sentence for one in found if state == "altered" or one.what == "missing")
    return Finding(f"ledger entry {seq}", state, "; ".join(sentences))


def _strangers(root: Path, recorded: Recorded, seqs: set[int]) -> Iterator[Finding]:
    """The entries whose signers this checkout does not trust, by signer."""
    by_signer: dict[str, list[int]] = {}
    for entry in recorded.entries:
        if entry.seq in seqs:
            by_signer.setdefault(", ".join(str(one["keyid"]) for one in entry.signatures), []).append(entry.seq)
    for signer, signed in by_signer.items():
        came = root / keys.DISTRIBUTED / f"{signer}.pem"
        file = came.relative_to(root) if came.exists() else "FILE, its public key"
        hint = f"when you know whose it is: `editloom keys trust {file}`"
        detail = f"signed by {signer[:SHOWN_DIGITS]}, a key that this checkout does not trust; {hint}"
        yield Finding(f"ledger entries {_ranges(signed)}", "untrusted", detail)


def _ranges(numbers: Sequence[int]) -> str:
    """`1–5, 9` for sorted numbers."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in spans)
