"""The blocking check `independence`: what a report's numbers were measured with, held against the ledger's lineage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from pydantic import ValidationError

from data.errors import UserError
from data.manifest import MANIFEST
from evaluation.independence import HeldOutFaces, Range, Seen, Upstream, check_measurement, of_role
from orchestration.graph import GRAPH, AssetId, inputs_of
from orchestration.lineage import SHOWN_DIGITS, Lineage, lineage_of_inputs, payload_file
from orchestration.step import CheckOutcome, Step
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace
from training.judges.loading import MANIFEST as JUDGES_FILE
from training.judges.loading import JudgeRecord, JudgesManifest
from training.shipped import shipped_original_dir

INDEPENDENCE = "independence"
JUDGES, HELD_OUT = "judges", "aligned_images"
SUBJECTS_FILE = "subjects.json"
_COLUMNS = ["sha256", "subject", "split", "source_sha256"]


def independence(step: Step) -> CheckOutcome:
    """Whether the judges and held-out images of a report took no part in making what it measures.

    Raises UserError when the ledger does not know an input's version.
    """
    inputs: dict[str, str] = {}
    for dep in inputs_of(step.id):
        entry = ledger.last_entry(step.ws.root, dep.asset, dep.partition)
        if entry is not None:
            inputs[str(dep)] = entry.materialization.data_version
    return independence_of(step.ws, inputs)


def independence_of(ws: Workspace, inputs: Mapping[str, str]) -> CheckOutcome:
    """The same for a measurement by its inputs: data version by asset id.

    `judges` among them measure, the test split of `aligned_images` is measured on, and the others are what is
    measured. What cannot be read any more counts against independence: it cannot be shown.
    """
    lineage = lineage_of_inputs(ws.root, inputs)
    measured = {
        name: version for name, version in inputs.items() if AssetId.parse(name).asset not in (JUDGES, HELD_OUT)
    }
    made_by = lineage_of_inputs(ws.root, measured)
    held_out = lineage.entries[HELD_OUT] if HELD_OUT in inputs else None
    try:
        upstream = _upstream(ws, made_by)
        manifest = _judges(ws, lineage.entries[JUDGES])
        faces = _held_out(_rows(ws, held_out)) if held_out else HeldOutFaces()
        found = check_measurement(manifest, upstream, faces)
    except UserError as error:
        return CheckOutcome(INDEPENDENCE, False, str(error), {"found": [str(error)]})
    document = {
        "found": found,
        "judges": {name: record.sha256 for name, record in of_role(manifest, "eval").items()},
        "upstream_judges": {name: record.sha256 for name, record in upstream.judges.items()},
        "upstream_networks": [seen.by for seen in upstream.seen],
        "held_out": {"subjects": len(faces.subjects)},
        "lineage": dict(lineage.data_versions),
    }
    summary = "; ".join(found) or "no shared weights, ancestors, subjects or images in the lineage"
    return CheckOutcome(INDEPENDENCE, not found, summary, document)


def _upstream(ws: Workspace, lineage: Lineage) -> Upstream:
    """What took part in making everything in a lineage."""
    judges: dict[str, JudgeRecord] = {}
    for entry in lineage.of(JUDGES):
        version = entry.materialization.data_version[:SHOWN_DIGITS]
        known = of_role(_judges(ws, entry), "train")
        judges |= {name if name not in judges else f"{name} of {version}": record for name, record in known.items()}
    made = [entry.materialization.wanted for entry in lineage.entries.values()]
    files = {name: digest for w in made for name, digest in w.inputs.items() if AssetId.parse(name).asset not in GRAPH}
    seen = [seen for entry in lineage.entries.values() for seen in _seen_by(ws, lineage, entry)]
    return Upstream(judges, files, tuple(seen))


def _seen_by(ws: Workspace, lineage: Lineage, entry: LedgerEntry) -> Iterator[Seen]:
    """What a trained network saw: the training split of each image set among its inputs, and what its start saw."""
    wanted = entry.materialization.wanted
    if not GRAPH[wanted.asset].device:
        return
    for name, version in wanted.inputs.items():
        asset = AssetId.parse(name).asset
        if asset in GRAPH and GRAPH[asset].group == "images":
            source = next(
                e for e in lineage.of(asset) if e.materialization.data_version == version and e.subject == name
            )
            rows = _rows(ws, source)
            training = rows[rows["split"] == "train"]
            yield Seen(entry.subject, frozenset(training["subject"]), images=_hashes(training))
    if _starts_from_shipped(wanted.params, wanted.asset):
        yield Seen(f"the start weights of {entry.subject}", ranges=(_shipped_subjects(),))


def _starts_from_shipped(params: Mapping[str, object], asset: str) -> bool:
    section = params.get(asset)
    return isinstance(section, Mapping) and section.get("start") == "shipped"


def _shipped_subjects() -> Range:
    """The subjects [first, end) that the shipped weights were trained on."""
    known = json.loads((shipped_original_dir() / SUBJECTS_FILE).read_text())
    return int(known["first_subject"]), int(known["last_subject"]) + 1


def _held_out(rows: pd.DataFrame) -> HeldOutFaces:
    test = rows[rows["split"] == "test"]
    return HeldOutFaces(frozenset(test["subject"]), _hashes(test))


def _hashes(rows: pd.DataFrame) -> frozenset[str]:
    """An image is known by its own bytes, by those it was cut from, and by its photograph's file."""
    columns = [name for name in ("sha256", "parent", "source_sha256") if name in rows]
    return frozenset(value for name in columns for value in rows[name].dropna())


def _rows(ws: Workspace, entry: LedgerEntry) -> pd.DataFrame:
    path = _file(ws, entry, MANIFEST)
    columns = [*_COLUMNS, *(["parent"] if "parent" in pq.read_schema(path).names else [])]
    frame: pd.DataFrame = pq.read_table(path, columns=columns).to_pandas()
    return frame


def _judges(ws: Workspace, entry: LedgerEntry) -> JudgesManifest:
    path = _file(ws, entry, JUDGES_FILE)
    try:
        return JudgesManifest.model_validate(json.loads(path.read_text()))
    except (ValidationError, ValueError) as error:
        raise UserError(f"{path} is not a judges manifest: {error}", "Build the judges again.") from None


def _file(ws: Workspace, entry: LedgerEntry, name: str) -> Path:
    """A file of the very version that an entry made; raises UserError when it is no longer here."""
    found = payload_file(ws.root, entry, name)
    if found is None:
        version = entry.materialization.data_version[:SHOWN_DIGITS]
        raise UserError(
            f"{entry.subject} {version}, which stands upstream, is no longer here: independence cannot be shown.",
            "Fetch it with DVC at the commit that made it, or make what was built from it again.",
        )
    return found
