"""What every training in the ledger was shown of an image: in which iterations, or the proof that it never was.

Batches are a function of (seed, iteration), and the ledger holds seed, settings and image set of each training. What
is said of an iteration holds for as long as `training.draws.image_order` draws as it did, which a test guards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.manifest import MANIFEST
from orchestration.audit.absence import Absences, NotIn, version_key
from orchestration.audit.image_index import Holding
from orchestration.audit.shown_subjects import Verdict, judges_verdict, start_verdict
from orchestration.lineage import payload_file
from orchestration.step import seed_of
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace
from training.draws import iterations_of
from training.exposure import iterations_drawing

SHOWN: Mapping[str, str] = MappingProxyType(
    {"original_network": "aligned_images", "feature_network": "attribute_images"}
)
"""Training → the image set whose training split its batches are drawn from."""

SHOWN_PAIRS = frozenset({"attribute_editor"})
"""Trainings whose batches are pairs that networks drew: no image of a set is ever among them."""

TRAIN = "train"
SNAPSHOTS_FILE = "snapshots.json"
_SHOWN_ITERATIONS = 8
_SHOWN_NAMES = 3


@dataclass(frozen=True)
class Draws:
    """In which iterations (from 0) of a training one stored image was in the batch.

    `row` of `rows` is its place among the training split, in the manifest's order; `kept_until` is the number of
    iterations behind the published weights: a feature network keeps its best snapshot, which may be an earlier one.
    """

    image_set: str
    sha256: str
    row: int
    rows: int
    seed: int
    batch_size: int
    iterations: int
    kept_until: int
    drawn_in: tuple[int, ...]


@dataclass(frozen=True)
class Exposure:
    """What one training, by its ledger entry, was shown of an image; `what` names it, or the weights it began from."""

    what: str
    entry: LedgerEntry
    verdict: Verdict
    reason: str
    draws: tuple[Draws, ...] = ()
    proofs: tuple[NotIn, ...] = ()

    def record(self) -> dict[str, Any]:
        """As JSON: what, entry (hash), verdict, reason, draws, proofs."""
        return {
            "what": self.what,
            "entry": self.entry.entry_hash,
            "verdict": self.verdict,
            "reason": self.reason,
            "draws": [{**asdict(one), "drawn_in": list(one.drawn_in)} for one in self.draws],
            "proofs": [one.record() for one in self.proofs],
        }


def exposure(ws: Workspace, holdings: Iterable[Holding], image: str | None = None) -> tuple[Exposure, ...]:
    """What each training of the ledger was shown of one image, in the ledger's order.

    `holdings` are all versions of image sets that have the image; `image` is a hash to prove absent besides theirs.
    """
    held = tuple(holdings)
    stored = [sha256 for one in held for sha256 in (one.sha256, one.parent)]
    hashes = sorted({sha256 for sha256 in (*stored, image) if sha256 is not None})
    asked = _Asked(ws, held, frozenset(one.subject for one in held), Absences(ws, hashes))
    made = ledger.entries(ws.root, kind=ledger.MATERIALIZATION)
    return tuple(found for entry in made for found in _of_entry(asked, entry))


@dataclass(frozen=True)
class _Asked:
    """The image that is asked about."""

    ws: Workspace
    holdings: tuple[Holding, ...]
    subjects: frozenset[str]
    absences: Absences


def _of_entry(asked: _Asked, entry: LedgerEntry) -> Iterator[Exposure]:
    asset = entry.materialization.wanted.asset
    key = version_key(entry)
    if asset in SHOWN:
        yield _of_training(asked, entry, key)
        if _section(entry).get("start") == "shipped":
            yield Exposure(f"the start weights of {key}", entry, *start_verdict(asked.subjects))
    elif asset in SHOWN_PAIRS:
        yield Exposure(key, entry, "never", "it learns from edit_pairs, which networks draw: it is shown no image set")
    elif asset == "judges":
        yield Exposure(key, entry, *judges_verdict(asked.ws, entry, asked.subjects))


def _of_training(asked: _Asked, entry: LedgerEntry, key: str) -> Exposure:
    source = _image_set(asked.ws, entry)
    if source is None:
        return Exposure(key, entry, "unknown", "the ledger has no entry of the image set that it was trained on")
    name, version = version_key(source), source.materialization.data_version
    held = [h for h in asked.holdings if (h.entry.subject, h.entry.body["data_version"]) == (source.subject, version)]
    manifest = payload_file(asked.ws.root, source, MANIFEST)
    if manifest is None:
        gone = f"the manifest of {name}, on which it was trained, is neither in place nor in DVC's cache"
        return Exposure(key, entry, "unknown", gone)
    table = pq.read_table(manifest, columns=["sha256", "split"])
    order = table.filter(pc.equal(table["split"], TRAIN))["sha256"]
    draws = tuple(_draws(asked.ws, entry, name, order, one.sha256) for one in held if one.split == TRAIN)
    if draws:
        return Exposure(key, entry, *_drawn_verdict(draws), draws)
    if held:
        splits = ", ".join(sorted({one.split for one in held}))
        return Exposure(key, entry, "never", f"in {name} it is in the split {splits}, which no batch is drawn from")
    return Exposure(key, entry, "never", f"it is not in {name}", proofs=asked.absences.of(source))


def _drawn_verdict(draws: Sequence[Draws]) -> tuple[Verdict, str]:
    """A training that shows less than one pass may never come to an image of its own set."""
    count, total = len({iteration for one in draws for iteration in one.drawn_in}), draws[0].iterations
    if not count:
        return (
            "never",
            f"it is in the training split of {draws[0].image_set}, but none of the {total:,} batches drew it",
        )
    return "drawn", f"in {count:,} of {total:,} iterations"


def _draws(ws: Workspace, entry: LedgerEntry, image_set: str, order: pa.ChunkedArray, sha256: str) -> Draws:
    """Where batches drew an image; `order` are the hashes of the training split, as the training reads them."""
    wanted, section = entry.materialization.wanted, _section(entry)
    batch_size, rows = int(section["batch_size"]), len(order)
    iterations = iterations_of(float(section["kimg"]), batch_size)
    seed, row = seed_of(int(wanted.seed or 0), str(wanted.id)), int(pc.index(order, sha256).as_py())
    drawn = iterations_drawing(seed, batch_size, rows, row, 0, iterations)
    kept = _kept_until(ws, entry, batch_size, iterations)
    return Draws(image_set, sha256, row, rows, seed, batch_size, iterations, kept, tuple(drawn.tolist()))


def _kept_until(ws: Workspace, entry: LedgerEntry, batch_size: int, iterations: int) -> int:
    """How many iterations made the weights that were published: all, or those before the chosen snapshot."""
    path = payload_file(ws.root, entry, SNAPSHOTS_FILE)
    points = json.loads(path.read_text())["snapshots"] if path else []
    return next((iterations_of(point["kimg"], batch_size) for point in points if point["chosen"]), iterations)


def _section(entry: LedgerEntry) -> Mapping[str, Any]:
    """The settings of a training: the section of params.yaml that bears its name, an attribute's own merged in."""
    wanted = entry.materialization.wanted
    section = wanted.params.get(wanted.asset)
    return section if isinstance(section, Mapping) else {}


def _image_set(ws: Workspace, entry: LedgerEntry) -> LedgerEntry | None:
    wanted = entry.materialization.wanted
    versions = {name.partition("[")[0]: (name, version) for name, version in wanted.inputs.items()}
    if SHOWN[wanted.asset] not in versions:
        return None
    made = ledger.makers(ws.root, *versions[SHOWN[wanted.asset]])
    return made[0] if made else None


def exposure_lines(exposures: Sequence[Exposure]) -> list[str]:
    """For a terminal: each training that was shown the image or of which it cannot be said, then those that never were.

    What never was stands together by its reason, with where the proof lies.
    """
    shown = [line for one in exposures if one.verdict != "never" for line in _shown(one)]
    never: dict[str, list[str]] = {}
    for one in exposures:
        if one.verdict == "never":
            never.setdefault(f"{one.reason}{_proved(one.proofs)}", []).append(one.what)
    return [*shown, *(f"never    {_some(names)}: {reason}" for reason, names in never.items())]


def _shown(one: Exposure) -> Iterator[str]:
    yield f"{one.verdict:<9}{one.what}: {one.reason}"
    for draws in one.draws:
        first = ", ".join(f"{iteration:,}" for iteration in draws.drawn_in[:_SHOWN_ITERATIONS])
        more = len(draws.drawn_in) - _SHOWN_ITERATIONS
        place = f"row {draws.row:,} of {draws.rows:,} of {draws.image_set}"
        yield f"         as {draws.sha256[:12]}, {place}, seed {draws.seed}, {draws.batch_size} images a batch"
        yield f"         iterations {first or 'none'}{f' and {more:,} more' if more > 0 else ''}{_before(draws)}"


def _before(draws: Draws) -> str:
    """How many of the draws are behind the published weights, where not all iterations are."""
    if draws.kept_until == draws.iterations:
        return ""
    count = sum(iteration < draws.kept_until for iteration in draws.drawn_in)
    return f"; {count:,} of them before iteration {draws.kept_until:,}, whose weights were kept"


def _proved(proofs: Sequence[NotIn]) -> str:
    roots = dict.fromkeys((proof.image_set, proof.dataset_root[:12], proof.proof.count) for proof in proofs)
    known = "; ".join(f"root {root} of {image_set}, {count:,} images" for image_set, root, count in roots)
    return f" (proof of absence: {known})" if known else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return f"{', '.join(names[:_SHOWN_NAMES])}{more}"
