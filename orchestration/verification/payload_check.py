"""Every payload, in its place and in DVC's cache, against the entry that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestration.audit.image_index import is_image_set
from orchestration.graph import GRAPH, AssetId
from orchestration.store import dvc
from orchestration.store.payload import PayloadDigest, PayloadError, digest_payload
from orchestration.verification.finding import Finding
from orchestration.verification.image_set_check import described, image_faults, root_faults
from orchestration.verification.recorded import Made, Recorded, Scope
from orchestration.verification.stored import Listing, Objects, Purges, Stored, receipt_name

ARTIFACTS = Path("artifacts")


class PayloadCheck:
    """Looks at the payloads of one workspace."""

    def __init__(self, root: Path, recorded: Recorded, scope: Scope, purges: Purges) -> None:
        self._root, self._recorded, self._scope, self._purges = root, recorded, scope, purges
        self._objects = Objects(root)
        self._known = 0

    def findings(self) -> Iterator[Finding]:
        """One for each payload in its place, and one for each other version, in the order of the graph."""
        found = list(self._strangers()) if self._scope.keys is None else []
        for subject in sorted(self._recorded.made, key=_place):
            found.extend(self._of(subject))
        here = len(list(_payload_folders(self._root)))
        if here and not self._known and self._scope.keys is None:
            yield Finding("ledger", "altered", f"it made none of the {here} payloads here: {_ANOTHER}")
        yield from found

    def _of(self, subject: str) -> Iterator[Finding]:
        last, versions = self._recorded.last(subject), self._recorded.versions(subject)
        in_place = None
        if self._scope.covers(last) and last is not None:
            finding, in_place = self._in_place(last, versions)
            self._known += in_place is not None
            yield finding
        for made in self._scope.chosen(versions):
            if made.version == in_place:
                yield from self._copy(made)
            elif made is not versions[-1]:
                yield self._elsewhere(made, made.name, needed=self._scope.keys is not None)

    def _in_place(self, last: Made, versions: Sequence[Made]) -> tuple[Finding, str | None]:
        """What stands in the place of the newest version, and which version that is."""
        folder, thing = self._root / last.id.path, last.id.path.as_posix()
        if not folder.is_dir():
            return self._elsewhere(last, thing, needed=True), None
        try:
            digest = digest_payload(folder)
        except (PayloadError, OSError) as error:
            return Finding(thing, "altered", getattr(error, "message", str(error))), None
        if digest.root == last.version:
            return self._as_made(last, folder, thing), last.version
        older = next((one for one in versions if one.version == digest.root), None)
        if older is None:
            return Finding(thing, "altered", self._differences(last, folder, digest)), None
        detail = f"holds the version of entry {older.entry.seq}; the newest is that of entry {last.entry.seq}"
        if dvc.locked_md5(self._root, last.id) == older.body.dvc_md5:
            return Finding(thing, "intact", f"{detail}; dvc.lock asks for it"), older.version
        return Finding(thing, "altered", detail), older.version

    def _as_made(self, made: Made, folder: Path, thing: str) -> Finding:
        detail = f"as entry {made.entry.seq} made it"
        if not is_image_set(str(made.id)):
            return Finding(thing, "intact", detail)
        wrong = described(iter([*root_faults(folder), *image_faults(folder)]))
        return Finding(thing, "altered", wrong) if wrong else Finding(thing, "intact", f"{detail}, each image too")

    def _differences(self, last: Made, folder: Path, digest: PayloadDigest) -> str:
        """Which files are not those of the ledger's version, as far as DVC's listing can tell."""
        listing = self._objects.listing(last.body.dvc_md5)
        said = _compared(digest, listing) if listing and listing.good else _UNTOLD
        if is_image_set(str(last.id)) and (images := described(image_faults(folder))):
            said = f"{said}: {images}"
        stored = self._objects.version(last, self._purges)
        mend = f"; `dvc checkout {last.id.stage} --force` brings it back" if stored.condition == "whole" else ""
        return f"not the bytes of entry {last.entry.seq}: {said}{mend}"

    def _copy(self, made: Made) -> Iterator[Finding]:
        """The cache's copy of what stands in its place: told only when it is not as it should be."""
        stored = self._objects.version(made, self._purges)
        if stored.condition == "altered":
            yield Finding(f"{made.name} in DVC's cache", "altered", ", ".join(stored.altered))

    def _elsewhere(self, made: Made, thing: str, *, needed: bool) -> Finding:
        """A version that does not stand in its place: whole in the cache, spoiled, purged, or absent."""
        stored = self._objects.version(made, self._purges)
        receipt = self._purges.receipt(made, stored.missing)
        if stored.condition == "altered":
            return Finding(thing, "altered", f"in DVC's cache: {', '.join(stored.altered)}")
        if stored.condition == "whole":
            if thing == made.name:
                return Finding(thing, "intact", f"of entry {made.entry.seq}, in DVC's cache")
            how = f"DVC's cache has it whole: `dvc checkout {made.id.stage}` puts it there"
            return Finding(thing, "absent", how, excused=True)
        if receipt is not None:
            return Finding(thing, "purged", f"{_lost(stored)} under {receipt_name(receipt)}")
        return Finding(thing, "absent", f"{_lost(stored)}; {_NEVER}", excused=not needed)

    def _strangers(self) -> Iterator[Finding]:
        """What stands among the payloads and no entry speaks of."""
        for path in _payload_folders(self._root):
            relative = path.relative_to(self._root)
            if str(AssetId(*relative.parts[1:])) not in self._recorded.made:
                yield Finding(relative.as_posix(), "altered", "no entry of this ledger made it")


_ANOTHER = "the ledger is another workspace's, or was cut off"
_UNTOLD = "which of its files differ cannot be told, for DVC's listing of them is not in the cache"
_NEVER = "removed from DVC's cache, or never fetched: `editloom pull` asks the remote"


def _lost(stored: Stored) -> str:
    if stored.missing is None:
        return "no file of it is here"
    names = sorted(stored.missing)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'are' if len(names) > 1 else 'is'} gone"


def _compared(digest: PayloadDigest, listing: Listing) -> str:
    here: Mapping[str, str] = {file.path: file.md5 for file in digest.files}
    kinds = {
        "altered": [name for name, md5 in listing.md5s.items() if here.get(name, md5) != md5],
        "missing": [name for name in listing.md5s if name not in here],
        "added": [name for name in here if name not in listing.md5s],
    }
    return "; ".join(f"{', '.join(sorted(names))} {kind}" for kind, names in kinds.items() if names)


def _payload_folders(root: Path) -> Iterator[Path]:
    """Every directory in which a payload of an asset stands."""
    for name, asset in GRAPH.items():
        folder = root / ARTIFACTS / name
        places = sorted(folder.iterdir()) if asset.partition and folder.is_dir() else [folder]
        yield from (path for path in places if path.is_dir())


def _place(subject: str) -> tuple[int, str]:
    return list(GRAPH).index(AssetId.parse(subject).asset), subject
