"""The ledger in a remote: files of signed envelopes, one after the other, never changed.

    editloom/ledger/entries/0000000001.jsonl     entries 1 to 27, a DSSE envelope a line
    editloom/ledger/entries/0000000028.jsonl     what the next push added
    editloom/ledger/keys/<keyid>.pem             public keys that signed them

A file is named by its first entry and made only where none of that name is. So two pushes at once cannot both go on
from the same entry: the later one finds the name taken, and reads before it tries again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from orchestration.remote.place import Place
from orchestration.store import envelope, keys, ledger
from orchestration.store.ledger import GENESIS, Head, LedgerEntry

ENTRIES, KEYS = "editloom/ledger/entries", "editloom/ledger/keys"
SUFFIX = ".jsonl"
TRIES = 5


@dataclass(frozen=True)
class Envelope:
    """An entry as it travels: where it stands in its chain, its hash, and the DSSE document."""

    seq: int
    prev_hash: str
    entry_hash: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Received:
    """What a remote has that is not here: entries that follow ours, in order, and the public keys by id."""

    envelopes: tuple[Envelope, ...]
    keys: Mapping[str, bytes]


def send(root: Path, place: Place, mine: Sequence[LedgerEntry]) -> int:
    """Add to the remote's ledger what it lacks of `mine`, the whole ledger here; returns how many entries.

    Keys go first, so that no entry is there whose key is not. Raises UserError when the remote's ledger is no beginning
    of this one; then nothing was written.
    """
    for _ in range(TRIES):
        there = check_extends(place, mine)
        missing = mine[there.seq :]
        if not missing:
            return 0
        for keyid, pem in keys.distributed_keys(root).items():
            place.create(f"{KEYS}/{keyid}.pem", pem)
        if place.create(_file(missing[0].seq), _lines(missing)):
            return len(missing)
    hint = "Others push to it all the time; run the same command again."
    raise UserError(f"The remote {place} took entries from others {TRIES} times in a row.", hint)


def check_extends(place: Place, mine: Sequence[LedgerEntry]) -> Head:
    """The remote's newest entry, number 0 for an empty remote; UserError when it is none of `mine`."""
    firsts = _firsts(place)
    if not firsts:
        return Head(0, GENESIS)
    last = _read(place, firsts[-1])[-1]
    if last.seq <= len(mine) and mine[last.seq - 1].entry_hash == last.entry_hash:
        return Head(last.seq, last.entry_hash)
    _refuse_other(place, mine, firsts)
    common = _common(place, mine, firsts)
    if common == len(mine):
        raise UserError(
            f"The remote {place} holds {last.seq - common} entries that are not here.",
            "Run `editloom pull` first, then push again. Nothing was pushed.",
        )
    raise _parted(place, common, len(mine) - common, last.seq - common)


def receive(root: Path, place: Place) -> Received:
    """Read and check what the remote's ledger has beyond the one here; nothing is written.

    Raises UserError for an empty remote, a ledger that does not begin with ours, or entries that are damaged.
    """
    firsts, mine = _firsts(place), ledger.entries(root)
    if not firsts:
        raise UserError(f"The remote {place} holds no ledger.", "Run `editloom push` where the ledger is.")
    _refuse_other(place, mine, firsts)
    common = _common(place, mine, firsts)
    beyond = [one for first in _covering(firsts, common + 1) for one in _read(place, first) if one.seq > common]
    if beyond and common < len(mine):
        raise _parted(place, common, len(mine) - common, len(beyond))
    received = Received(tuple(beyond), _keys(place))
    _check(place, received, mine[-1] if mine else None, {**keys.distributed_keys(root), **keys.trusted_keys(root)})
    return received


def accept(root: Path, received: Received) -> list[LedgerEntry]:
    """Append what was received, all or nothing, and lay the keys beside the ledger; they are not trusted by that."""
    entries = ledger.import_entries(root, [one.document for one in received.envelopes])
    for keyid, pem in received.keys.items():
        keys.distribute(root, keyid, pem)
    return entries


def _check(place: Place, received: Received, last: LedgerEntry | None, known: Mapping[str, bytes]) -> None:
    """Each entry follows the one before it and bears a good signature of a key that is at hand."""
    seq, entry_hash = (last.seq, last.entry_hash) if last else (0, GENESIS)
    everyone = {**received.keys, **known}
    for one in received.envelopes:
        if (one.seq, one.prev_hash) != (seq + 1, entry_hash):
            raise _damaged(place, f"entry {one.seq} does not follow entry {seq}")
        payload, signatures = envelope.payload_of(one.document)
        if not envelope.signers(payload, signatures, everyone):
            raise _damaged(place, f"entry {one.seq} bears no good signature of a key that came with it")
        seq, entry_hash = one.seq, one.entry_hash


def _refuse_other(place: Place, mine: Sequence[LedgerEntry], firsts: Sequence[int]) -> None:
    if not mine:
        return
    theirs = _read(place, firsts[0])[0]
    if theirs.entry_hash != mine[0].entry_hash:
        raise UserError(
            f"The remote {place} holds the ledger of another workspace: its first entry is {theirs.entry_hash[:12]}, "
            f"the one here is {mine[0].entry_hash[:12]}.",
            "Give this workspace a remote of its own (`dvc remote add`), or pull into a fresh clone without a ledger. "
            "Nothing was changed.",
        )


def _common(place: Place, mine: Sequence[LedgerEntry], firsts: Sequence[int]) -> int:
    """How many entries both begin with: from the newest file on back, until one holds an entry of ours."""
    if not mine:
        return 0
    for first in reversed(firsts):
        for one in reversed(_read(place, first)):
            if one.seq <= len(mine) and mine[one.seq - 1].entry_hash == one.entry_hash:
                return one.seq
    return 0


def _parted(place: Place, common: int, ours: int, theirs: int) -> UserError:
    return UserError(
        f"This ledger and that of the remote {place} part after entry {common}: "
        f"{ours} more here, {theirs} others there.",
        "Nothing was changed. To keep the remote's, move the folder ledger/ away and run `editloom pull`; "
        "`editloom run` then makes or reuses what yours had.",
    )


def _firsts(place: Place) -> list[int]:
    """The numbers of the first entry of each file, ascending; what is not named so is no file of ours."""
    names = (name.removesuffix(SUFFIX) for name in place.names(ENTRIES) if name.endswith(SUFFIX))
    return sorted(int(name) for name in names if name.isdecimal())


def _covering(firsts: Sequence[int], seq: int) -> list[int]:
    """The files that hold entry `seq` or a later one."""
    before = [first for first in firsts if first <= seq]
    return [*before[-1:], *(first for first in firsts if first > seq)]


def _file(first: int) -> str:
    return f"{ENTRIES}/{first:010d}{SUFFIX}"


def _lines(entries: Sequence[LedgerEntry]) -> bytes:
    return "".join(f"{envelope.canonical(entry.envelope)}\n" for entry in entries).encode()


def _read(place: Place, first: int) -> list[Envelope]:
    """The envelopes of a file; UserError when it is not what a push wrote."""
    try:
        found = [_envelope(json.loads(line)) for line in place.read(_file(first)).decode().splitlines()]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _damaged(place, f"{_file(first)} cannot be read: {error}") from None
    if [one.seq for one in found] != list(range(first, first + len(found))) or not found:
        raise _damaged(place, f"{_file(first)} does not hold entries {first} and on")
    return found


def _envelope(document: Mapping[str, Any]) -> Envelope:
    payload, _ = envelope.payload_of(document)
    said = json.loads(payload)["predicate"]
    seq, prev_hash = int(said["seq"]), str(said["prev"])
    return Envelope(seq, prev_hash, ledger.entry_hash(seq, prev_hash, hashlib.sha256(payload).hexdigest()), document)


def _keys(place: Place) -> dict[str, bytes]:
    """The public keys there, each under the id that its content has; UserError for what is no such key."""
    found = [place.read(f"{KEYS}/{name}") for name in place.names(KEYS) if name.endswith(".pem")]
    return dict(keys.public_key(pem, f"A key of the remote {place.name}") for pem in found)


def _damaged(place: Place, what: str) -> UserError:
    hint = "Nothing here was changed. Restore that file from a copy of the remote, or pull from another one: --remote."
    return UserError(f"The ledger in the remote {place} is damaged: {what}.", hint)
