"""`editloom reproduce`: a recorded version is made again elsewhere, from its lineage alone, and compared."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data.errors import UserError
from orchestration.lineage import Lineage, lineage_of
from orchestration.reproduction.again import Making, make_phases, make_target
from orchestration.reproduction.own_files import depth_of
from orchestration.reproduction.phases import Phase, phases_of
from orchestration.reproduction.result import Reproduction
from orchestration.reproduction.settings import own_files, rebuilt
from orchestration.reproduction.site import make_site
from orchestration.reproduction.target import target_entry
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Options:
    """How to make it again: the target alone, on portable arithmetic, keeping the workspace in a folder."""

    asset_only: bool = False
    portable: bool = False
    keep: Path | None = None


def reproduce(ws: Workspace, text: str, options: Options, console: Console) -> Reproduction:
    """Make what `text` names again in a temporary workspace and compare every asset with its record.

    The workspace itself is only read. Raises UserError, before anything runs, for a target that is unknown and for a
    commit, code version, setting or file that is not to be had as it was.
    """
    started, entry = time.monotonic(), target_entry(ws, text)
    lineage = lineage_of(ws.root, entry.materialization.wanted.id, entry.materialization.data_version)
    phases, target = phases_of(ws.root, lineage), _standing_in(lineage, entry)
    # What is made decides which photographs are read; of commits the first is checked out at once.
    again = (Phase(target.materialization.git_commit, (target,), ()),) if options.asset_only else phases
    photographs = _photographs(again)
    with _folder(options.keep) as base:
        site = make_site(ws, base, [phase.commit for phase in again], depth_of(photographs))
        making = Making(ws, site, options.portable, console)
        made = make_target(making, phases, target) if options.asset_only else make_phases(making, phases)
        compared = tuple(made)
    notes = tuple(_notes(ws, lineage, entry, photographs))
    kept = str(options.keep) if options.keep else None
    seconds = round(time.monotonic() - started, 1)
    return Reproduction(text, entry.entry_hash, options.asset_only, options.portable, compared, notes, seconds, kept)


def _standing_in(lineage: Lineage, entry: LedgerEntry) -> LedgerEntry:
    """The target as its lineage has it: of several entries with the same bytes, the newest."""
    version = entry.materialization.data_version
    same = (e for e in lineage.entries.values() if e.subject == entry.subject)
    return next(e for e in same if e.materialization.data_version == version)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A new folder of the system's own for temporary files, or `keep`, which must be new or empty and stays."""
    if keep is None:
        base = Path(tempfile.mkdtemp(prefix="editloom-reproduce-"))
        try:
            yield base.resolve()
        finally:
            shutil.rmtree(base, ignore_errors=True)
        return
    keep = keep.expanduser().resolve()
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise UserError(f"{keep} is not empty.", "Name a new or empty directory; nothing was changed.")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


def _photographs(phases: tuple[Phase, ...]) -> tuple[str, ...]:
    named = (own_files(rebuilt({}, phase.entries, portable=False)) for phase in phases)
    return tuple(dict.fromkeys(path for paths in named for path in paths))


def _notes(ws: Workspace, lineage: Lineage, entry: LedgerEntry, photographs: tuple[str, ...]) -> Iterator[str]:
    for path in photographs:
        yield f"Photographs were read where they are, not copied: {path}"
    unclean = [key for key, one in lineage.entries.items() if not one.materialization.git_clean]
    if unclean:
        yield f"Not everything was committed when these were made: {', '.join(unclean)}"
    later = [one for one in ledger.entries(ws.root, kind=ledger.CONSENT) if one.seq > entry.seq]
    if later:
        yield (
            f"Consent changed {len(later)} times since this was made; it was made again as consent stood then. "
            "See `editloom audit`."
        )
