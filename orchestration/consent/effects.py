"""What a change of consent puts out of date: image sets that hold what is withdrawn, or lack what is granted again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from data.consent import Withheld
from data.quarantine import QUARANTINE
from orchestration.audit.image_index import holdings, holdings_of_subject, is_image_set
from orchestration.consent.registry import consent_entries, withheld
from orchestration.graph import AssetId
from orchestration.lineage import payload_file
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace


def consent_reasons(root: Path, asset_id: AssetId) -> tuple[str, ...]:
    """Why an image set must be made again (sentences without a full stop): consent changed since it was made.

    Nothing for other assets, which follow from their inputs, and where no consent ever changed.
    """
    if not is_image_set(str(asset_id)) or not consent_entries(root):
        return ()
    entry = ledger.last_entry(root, asset_id.asset, asset_id.partition)
    if entry is None:
        return ()
    gone = withheld(root)
    held, back = _held(root, entry, gone), _granted_again(root, entry, gone)
    said = [f"{_images(held, 'of its images')} withdrawn"] if held else []
    return (*said, *([f"{_images(back, 'withdrawn image')} granted again"] if back else []))


def _held(root: Path, entry: LedgerEntry, gone: Withheld) -> int:
    """How many withdrawn images a version holds."""
    ws = Workspace(root)
    found = holdings(ws, gone.images) if gone.images else []
    found += [holding for subject in sorted(gone.subjects) for holding in holdings_of_subject(ws, subject)]
    version = entry.body["data_version"]
    mine = (one for one in found if one.entry.subject == entry.subject and one.entry.body["data_version"] == version)
    return len({holding.sha256 for holding in mine})


def _granted_again(root: Path, entry: LedgerEntry, gone: Withheld) -> int:
    """How many images a version left out for a withdrawal that holds no more: such rows name their subject."""
    path = payload_file(root, entry, QUARANTINE)
    if path is None:
        return 0
    columns = ["sha256", "reason", "subject"]
    if "subject" not in pq.read_schema(path).names:
        return 0
    rows = pq.read_table(path, columns=columns).to_pylist()
    left_out = [row for row in rows if row["reason"] == "withdrawn" and row["subject"] is not None]
    return sum(not gone.holds(row["subject"], row["sha256"]) for row in left_out)


def _images(count: int, what: str) -> str:
    """`2 of its images were`, `1 withdrawn image was`."""
    plural = "" if count == 1 or what.endswith("s") else "s"
    return f"{count} {what}{plural} {'was' if count == 1 else 'were'}"
