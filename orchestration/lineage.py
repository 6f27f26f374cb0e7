"""Lineage from the ledger: which entries made a version, and everything that it was made from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from orchestration.graph import GRAPH, AssetId
from orchestration.store import dvc, ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.records import Materialization

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Lineage:
    """Every entry that something was made through, nearest first.

    The key is the asset's id; where two versions of one asset stand in a lineage, the further one's is `id@version`.
    """

    entries: Mapping[str, LedgerEntry]

    def of(self, asset: str) -> tuple[LedgerEntry, ...]:
        """The entries of an asset, of whichever partition and version."""
        return tuple(entry for entry in self.entries.values() if AssetId.parse(entry.subject).asset == asset)

    def made(self, asset: str) -> Materialization | None:
        """The nearest materialization of an asset, or None when it has no part in this."""
        found = self.of(asset)
        return found[0].materialization if found else None

    @property
    def assets(self) -> tuple[str, ...]:
        """The names of the assets that take part, inputs before what is made from them."""
        known = {AssetId.parse(entry.subject).asset for entry in self.entries.values()}
        return tuple(name for name in GRAPH if name in known)

    @property
    def data_versions(self) -> Mapping[str, str]:
        """Data version by key."""
        return {key: entry.materialization.data_version for key, entry in self.entries.items()}

    @property
    def code_versions(self) -> Mapping[str, str]:
        """Code version by key."""
        return {key: entry.materialization.wanted.code_version for key, entry in self.entries.items()}


def lineage_of(root: Path, asset_id: AssetId, data_version: str) -> Lineage:
    """The entry that made exactly this version in the workspace `root`, and those of its inputs, down to the images.

    Of several entries with the same bytes the newest counts, with the inputs under which a run last found it to stand.
    Raises UserError when the ledger has none.
    """
    return lineage_of_inputs(root, {str(asset_id): data_version})


def lineage_of_inputs(root: Path, inputs: Mapping[str, str]) -> Lineage:
    """The same for several versions at once, by their ids: what is being made from them has no entry yet.

    Names of a user's own files (`file:…`, `module:…`) are passed over. Raises UserError as `lineage_of` does.
    """
    found: dict[str, LedgerEntry] = {}
    open_, seen = deque(_assets(inputs)), set(_assets(inputs))
    while open_:
        subject, version = open_.popleft()
        made = ledger.makers(root, subject, version)
        if not made:
            raise _unknown(root, subject, version)
        entry = ledger.confirmed(root, made[-1])
        found[subject if subject not in found else f"{subject}@{version[:SHOWN_DIGITS]}"] = entry
        fresh = [one for one in _assets(entry.materialization.wanted.inputs) if one not in seen]
        seen.update(fresh)
        open_.extend(fresh)
    return Lineage(found)


def payload_file(root: Path, entry: LedgerEntry, name: str) -> Path | None:
    """A file of the very version that an entry made: in its place, or else in DVC's cache; None when in neither."""
    asset_id = AssetId.parse(entry.subject)
    last = ledger.last_entry(root, asset_id.asset, asset_id.partition)
    current = last is not None and last.body["data_version"] == entry.body["data_version"]
    return version_file(root, entry.subject, str(entry.body["dvc_md5"]), name, current=current)


def version_file(root: Path, subject: str, dvc_md5: str, name: str, *, current: bool) -> Path | None:
    """The same without a look into the ledger: `current` says whether the version is the one the asset stands at."""
    if current and (in_place := root / AssetId.parse(subject).path / name).exists():
        return in_place
    return dvc.cached_file(root, dvc_md5, name)


def _assets(inputs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, version) for name, version in inputs.items() if AssetId.parse(name).asset in GRAPH)


def _unknown(root: Path, subject: str, version: str) -> UserError:
    made = ledger.entries(root, subject, ledger.MATERIALIZATION)
    versions = ", ".join(dict.fromkeys(str(entry.body["data_version"])[:SHOWN_DIGITS] for entry in reversed(made)))
    hint = f"It knows of these, newest first: {versions}." if made else f"It knows of no {subject} at all."
    return UserError(f"The ledger has no entry that made {subject} {version[:SHOWN_DIGITS]}.", hint)
