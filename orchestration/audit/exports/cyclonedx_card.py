"""The parts of an ML-BOM that CycloneDX's library has no classes for: the model's card, data, and who decided what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import UserError
from orchestration.audit.document import AuditDocument, AuditNode
from orchestration.audit.exports.nodes import Kind, declared, edges_of, kind_of, nodes_of
from orchestration.card_data import CardData, card_data
from orchestration.graph import AssetId
from orchestration.lineage import payload_file
from orchestration.tracking.reports import METRICS, ReportRecord, read_record
from orchestration.workspace import Workspace

Json = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """What a network is, in the words of CycloneDX's `modelParameters`."""

    approach: str
    task: str
    family: str
    architecture: str


_STYLEGAN2 = ("generative adversarial network", "StyleGAN2")
_EDITOR = Network("supervised", "image-to-image translation", "convolutional neural network", "U-Net")
_NETWORKS: Mapping[str, Network] = {
    "original_network": Network("unsupervised", "image generation", *_STYLEGAN2),
    "feature_network": Network("unsupervised", "image generation", *_STYLEGAN2),
    "attribute_editor": _EDITOR,
    "attribute_release": _EDITOR,
    "judges": Network("supervised", "classification and regression", "convolutional neural network", "several"),
}
_RENDERED = "Trained on rendered images alone; nothing here was measured on photographs."
_PHOTOGRAPHS = "Trained on the images named here; it says nothing of faces unlike them."


def model_card(document: AuditDocument, main: AuditNode, ws: Workspace) -> Json:
    """The `modelCard` of the model that the bill is about; what is no longer on record is left out."""
    card = _card(document, main, ws)
    return {
        "bom-ref": f"card:{main.key}",
        "modelParameters": _parameters(document, main),
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(document, main, ws))},
        "considerations": _considerations(main, card),
        "properties": [] if card is None else [_property(f"missing:{n}", what) for n, what in enumerate(card.missing)],
    }


def component_data(node: AuditNode) -> Json:
    """The `data` of a data component: what it holds, in numbers, and who looks after it."""
    asset, facts = declared(node), node.dataset
    told: Json = {"type": "dataset" if kind_of(node) == "data" else "other", "name": node.entry.subject}
    if asset is not None:
        told |= {"description": asset.description, "governance": {"owners": [{"organization": {"name": asset.owner}}]}}
    if facts is not None:
        counted = {"split": facts.splits, "licence": facts.licences, "consent": facts.consents,
                   "quarantined": facts.quarantined}  # fmt: skip
        rows = {"images": facts.count, "subjects": facts.subjects, "datasetRoot": facts.dataset_root} | {
            f"{name}:{value}": count for name, counts in counted.items() for value, count in sorted(counts.items())
        }
        told["contents"] = {"properties": [_property(name, value) for name, value in rows.items()]}
    return told


def decision_notes(document: AuditDocument) -> list[Json]:
    """Each decision as an annotation of the release that was decided on: by a person, or by the gate."""
    keys = {node.entry.entry_hash: node.key for node in nodes_of(document)}
    gate = {"component": {"type": "application", "name": "Editloom"}}
    return [
        {
            "bom-ref": f"decision:{one.entry.entry_hash}",
            "subjects": [keys[one.decision.release]],
            "annotator": {"individual": {"name": one.decision.by}} if one.decision.by else gate,
            "timestamp": one.entry.at,
            "text": ": ".join(filter(None, (one.decision.outcome, one.decision.sentence, one.decision.reason))),
        }
        for one in document.decisions
        if one.decision.release in keys
    ]


def _card(document: AuditDocument, main: AuditNode, ws: Workspace) -> CardData | None:
    """What the model's card says: of the release itself, or of the newest release made from the model."""
    from_main = {edge.target for edge in document.edges if edge.source == main.key} | {main.key}
    releases = [node for node in nodes_of(document) if node.key in from_main and kind_of(node) == "release"]
    try:
        return card_data(ws, releases[-1].entry) if releases else None
    except UserError:  # an entry of its lineage is not in this ledger: the document's warnings say so
        return None


def _parameters(document: AuditDocument, main: AuditNode) -> Json:
    above = {node.key for node in document.upstream}
    sets = [{"ref": node.key} for node in nodes_of(document) if node.key in above and kind_of(node) == "data"]
    told: Json = {"datasets": sets, "inputs": [{"format": "image"}], "outputs": [{"format": "image"}]}
    network = _NETWORKS.get(AssetId.parse(main.entry.subject).asset)
    if network is not None:
        told |= {"approach": {"type": network.approach}, "task": network.task, "architectureFamily": network.family,
                 "modelArchitecture": network.architecture}  # fmt: skip
    return told


def _reports(document: AuditDocument, main: AuditNode) -> list[AuditNode]:
    """The report that a release rests on, or those that measured a model."""
    read: Mapping[Kind, set[str]] = {
        "release": {edge.source for edge in edges_of(document) if edge.target == main.key},
        "model": {edge.target for edge in edges_of(document) if edge.source == main.key},
    }
    wanted = read.get(kind_of(main), set())
    return [node for node in nodes_of(document) if node.key in wanted and kind_of(node) == "report"]


def _metrics(document: AuditDocument, main: AuditNode, ws: Workspace) -> Iterator[Json]:
    """Every measured value of the model's reports, whole and by slice, with its interval."""
    for node in _reports(document, main):
        path = payload_file(ws.root, node.entry, METRICS)
        record = read_record(path) if path else None
        if record is not None:
            yield from report_metrics(node, record)


def report_metrics(node: AuditNode, record: ReportRecord) -> Iterator[Json]:
    """The measured row of a report as `performanceMetrics`: each metric whole, then by slice."""
    for metric in record.rows[0]["metrics"]:
        yield from _metric(node, metric, None)
    for one in record.slices:
        yield from _metric(node, one["metric"], f"{one['dimension']}: {one['label']}")


def _metric(node: AuditNode, metric: Mapping[str, Any], part: str | None) -> Iterator[Json]:
    """One value, if there is one. Unit, judge and report stand in its type: CycloneDX has no other place for them."""
    if metric["value"] is None:
        return
    told = {"type": f"{metric['name']} ({metric['unit']}; {metric['judge']}; {node.entry.subject})"}
    told["value"] = str(metric["value"])
    ends = metric["interval"]
    interval = {"confidenceInterval": {"lowerBound": str(ends["low"]), "upperBound": str(ends["high"])}} if ends else {}
    yield told | ({"slice": part} if part else {}) | interval


def _considerations(main: AuditNode, card: CardData | None) -> Json:
    attribute = AssetId.parse(main.entry.subject).partition
    what = f"Gives an aligned photo the attribute {attribute}." if attribute else _described(main)
    told: Json = {"users": ["People who edit pictures of persons who consented."], "useCases": [what]}
    told["ethicalConsiderations"] = [
        {
            "name": "Use on pictures of persons who did not consent, or to judge people",
            "mitigationStrategy": "Not for that use. Only images with consent are ingested; a withdrawal is followed "
            "to every version that it reaches.",
        }
    ]
    if card is not None:
        size = card.alignment.get("size_px")
        told["useCases"] = [f"{what} Input and output: RGB crops of {size} px." if size else what]
        unmeasured = [f"Not measured: {name}: {why}" for name, why in _pairs(card.not_measured)]
        told["technicalLimitations"] = [_RENDERED if card.rendered else _PHOTOGRAPHS, card.independence, *unmeasured]
    return told


def _described(main: AuditNode) -> str:
    asset = declared(main)
    return asset.description if asset else main.entry.subject


def _pairs(rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    return ((row[0], row[1]) for row in rows)


def _property(name: str, value: object) -> Json:
    return {"name": f"editloom:{name}", "value": str(value)}
