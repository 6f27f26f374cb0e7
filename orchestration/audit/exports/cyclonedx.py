"""CycloneDX 1.6 ML-BOM: networks, data sets and files as components, the edges as dependencies, the model's card.

https://cyclonedx.org/capabilities/mlbom/. The library writes all but `data`, `modelCard` and `annotations`, for which
it has no classes yet; the result is checked against the strict schema.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.spdx import is_supported_id
from cyclonedx.validation.json import JsonStrictValidator

from orchestration.audit.document import AuditDocument, AuditNode, Edge, Outside
from orchestration.audit.exports.cyclonedx_card import component_data, decision_notes, model_card
from orchestration.audit.exports.nodes import Kind, declared, edges_of, is_tainted, kind_of, nodes_of
from orchestration.audit.image_index import Holding
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace

PREFIX = "editloom:"
_TYPES: Mapping[Kind, ComponentType] = {
    "data": ComponentType.DATA,
    "model": ComponentType.MACHINE_LEARNING_MODEL,
    "report": ComponentType.DATA,
    "release": ComponentType.MACHINE_LEARNING_MODEL,
}
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class _Known:
    """The document by node: the registration of a release (by its entry's hash), and what a version read (by key)."""

    document: AuditDocument
    releases: Mapping[str, LedgerEntry]
    reads: Mapping[str, Sequence[Edge]]

    @classmethod
    def of(cls, document: AuditDocument) -> _Known:
        reads: dict[str, list[Edge]] = defaultdict(list)
        for edge in document.edges:
            reads[edge.target].append(edge)
        return cls(document, {str(one.body["release"]): one for one in document.releases}, reads)


def bom_json(document: AuditDocument, ws: Workspace) -> str:
    """The bill of materials; the audit's target is the component that it is about.

    Raises ValueError where it does not hold to CycloneDX's schema, which is a defect here.
    """
    with warnings.catch_warnings():
        # The library misses dependencies of the target; a target that was made from nothing has none.
        warnings.filterwarnings("ignore", message="The Component this BOM is describing")
        written = make_outputter(_bom(document, ws), OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    told = json.loads(written)
    _complete(told, document, ws)
    text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ValueError(f"this is no CycloneDX 1.6: {error}")
    return text


def main_node(document: AuditDocument) -> AuditNode | None:
    """The node that the bill is about: the target's release, else its last model, else its last version.

    None for an image, which several image sets hold.
    """
    if document.target.kind == "image":
        return None
    wanted = {entry.entry_hash for entry in document.target.entries}
    subjects = {(entry.subject, entry.body["data_version"]) for entry in document.target.entries}
    own = [
        node
        for node in nodes_of(document)
        if node.entry.entry_hash in wanted or (node.entry.subject, node.entry.body["data_version"]) in subjects
    ]
    order: dict[Kind, int] = {"release": 3, "model": 2, "report": 1, "data": 0}
    return max(own, key=lambda node: (order[kind_of(node)], node.entry.seq), default=None)


def _bom(document: AuditDocument, ws: Workspace) -> Bom:
    main, known = main_node(document), _Known.of(document)
    components = {node.key: _component(known, node) for node in nodes_of(document)}
    components |= {one.key: _outside(one) for one in document.outside}
    images = _images(document)
    about = components.pop(main.key) if main else _target(document)
    bom = Bom(
        serial_number=_serial(document),
        components=[*components.values(), *images],
        dependencies=_dependencies([about, *components.values()], edges_of(document)),
    )
    bom.metadata.component = about
    bom.metadata.timestamp = _head_time(document, ws)
    bom.metadata.properties = _properties(
        {"ledger:seq": document.head.seq, "ledger:head": document.head.entry_hash, "target": document.target.text}
        | {f"warning:{number}": said for number, said in enumerate(document.warnings, start=1)}
    )
    return bom


def _component(known: _Known, node: AuditNode) -> Component:
    kind, asset, release = kind_of(node), declared(node), known.releases.get(node.entry.entry_hash)
    return Component(
        type=_TYPES[kind],
        name=str(release.body["model"]) if release else node.entry.subject,
        version=str(release.body["version"]) if release else node.entry.materialization.data_version,
        bom_ref=node.key,
        description=asset.description if asset else None,
        licenses=_licences(node.dataset.licences) if node.dataset else (),
        properties=_properties(_facts(known, node) | _signed(release)),
        components=_files(node.key, release.body["files"]) if release else (),
    )


def _facts(known: _Known, node: AuditNode) -> dict[str, Any]:
    """What the ledger says of a version."""
    made, entry = node.entry.materialization, node.entry
    facts = {
        "asset": entry.subject, "dataVersion": made.data_version, "dvcMd5": made.dvc_md5, "sizeBytes": made.size_bytes,
        "ledger:seq": entry.seq, "ledger:entry": entry.entry_hash, "madeAt": entry.at, "commit": made.git_commit,
        "commitClean": made.git_clean, "codeVersion": made.wanted.code_version, "seed": made.wanted.seed,
        "paramsDigest": made.wanted.params_digest, "deviceClass": made.wanted.device_class,
        "dagsterRun": made.dagster_run, "mlflowRun": made.mlflow_run, "tainted": is_tainted(known.document, node),
        "present": node.present, "how": node.how,
    }  # fmt: skip
    checks = {f"check:{name}": passed for name, passed in node.checks.items()}
    reads = {f"reads:{edge.source}": edge.part for edge in known.reads.get(node.key, ())}
    return facts | checks | reads


def _signed(release: LedgerEntry | None) -> dict[str, Any]:
    known = {"keyid": "keyid", "signature": "signatureSha256", "mlflow_run": "registeredByRun"}
    return {title: release.body[name] for name, title in known.items()} if release else {}


def _files(key: str, files: Mapping[str, str]) -> list[Component]:
    """A released model's signed files, each with its hash."""
    return [
        Component(type=ComponentType.FILE, name=name, bom_ref=f"{key}/{name}", hashes=_sha256(digest))
        for name, digest in sorted(files.items())
    ]


def _outside(one: Outside) -> Component:
    return Component(type=ComponentType.FILE, name=one.name, bom_ref=one.key, hashes=_sha256(one.sha256))


def _images(document: AuditDocument) -> list[Component]:
    """The images that were asked about, each with the image sets of the audit that hold it."""
    keys = {node.entry.entry_hash: node.key for node in nodes_of(document)}
    places: dict[str, list[Holding]] = defaultdict(list)
    for one in document.images:
        places[one.sha256].append(one)
    return [_image(holdings[-1], [keys[one.entry.entry_hash] for one in holdings]) for holdings in places.values()]


def _image(one: Holding, sets: Iterable[str]) -> Component:
    facts = {"subject": one.subject, "consent": one.consent} | {f"in:{key}": True for key in sets}
    return Component(
        type=ComponentType.FILE,
        name=one.source,
        bom_ref=f"image:{one.sha256}",
        hashes=_sha256(one.sha256),
        licenses=_licences([one.licence]),
        properties=_properties(facts),
    )


def _target(document: AuditDocument) -> Component:
    """The component that stands for a target that is no version of ours: the image, or the person, asked about."""
    return Component(type=ComponentType.DATA, name=document.target.text, bom_ref=f"target:{document.target.text}")


def _dependencies(components: Iterable[Component], edges: Iterable[Edge]) -> list[Dependency]:
    """One per component: the library adds none for what depends on nothing."""
    refs = {str(one.bom_ref.value): one.bom_ref for one in components}
    needed: dict[str, list[Dependency]] = defaultdict(list)
    for edge in edges:
        needed[edge.target].append(Dependency(refs[edge.source]))
    return [Dependency(ref, needed[key]) for key, ref in refs.items()]


def _licences(names: Iterable[str]) -> list[DisjunctiveLicense]:
    return [
        DisjunctiveLicense(id=name) if is_supported_id(name) else DisjunctiveLicense(name=name)
        for name in sorted(filter(None, names))
    ]


def _sha256(digest: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if len(digest) == _SHA256_DIGITS else []


def _properties(facts: Mapping[str, Any]) -> list[Property]:
    """Facts as properties under our prefix; what is not known is left out."""
    told = {name: value for name, value in facts.items() if value is not None}
    return [Property(name=f"{PREFIX}{name}", value=_text(value)) for name, value in sorted(told.items())]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _serial(document: AuditDocument) -> uuid.UUID:
    """The same for the same question to the same ledger."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:editloom:bom:{document.head.entry_hash}:{document.target.text}")


def _head_time(document: AuditDocument, ws: Workspace) -> datetime:
    """The time of the newest entry: a bill of the same ledger is the same whenever it is written."""
    newest = ledger.entry_at(ws.root, document.head.seq)
    return datetime.fromisoformat(newest.at if newest else nodes_of(document)[-1].entry.at)


def _complete(told: dict[str, Any], document: AuditDocument, ws: Workspace) -> None:
    """Add what the library has no classes for."""
    main, nodes = main_node(document), {node.key: node for node in nodes_of(document)}
    for component in (told["metadata"]["component"], *told.get("components", ())):
        node = nodes.get(component["bom-ref"])
        if node is not None and component["type"] == ComponentType.DATA.value:
            component["data"] = [component_data(node)]
    if main is not None and _TYPES[kind_of(main)] is ComponentType.MACHINE_LEARNING_MODEL:
        told["metadata"]["component"]["modelCard"] = model_card(document, main, ws)
    if document.decisions:
        told["annotations"] = decision_notes(document)
