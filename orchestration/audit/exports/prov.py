"""W3C PROV-JSON: versions are entities, what made and judged them activities, who answers for it agents.

https://www.w3.org/TR/prov-dm/, https://www.w3.org/Submission/prov-json/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from prov.model import PROV, ProvDocument

from orchestration.audit.document import AuditDocument, AuditNode
from orchestration.audit.exports.nodes import edges_of, is_tainted, kind_of, nodes_of
from orchestration.audit.image_index import Holding
from orchestration.graph import AssetId
from orchestration.release.decisions import Decided
from orchestration.store.envelope import canonical
from orchestration.store.ledger import LedgerEntry

NAMESPACES: Mapping[str, str] = {
    "editloom": "urn:editloom:",
    "version": "urn:editloom:version:",
    "outside": "urn:editloom:outside:",
    "image": "urn:editloom:image:sha256:",
    "registered": "urn:editloom:registered:",
    "entry": "urn:editloom:ledger-entry:",
    "commit": "urn:editloom:commit:",
    "key": "urn:editloom:key:",
    "person": "urn:editloom:person:",
}
UNCOMMITTED = "none"
Facts = dict[Any, Any]
"""Attributes of a record by qualified name."""


def prov_json(document: AuditDocument) -> str:
    """The document as PROV-JSON: an activity and an entity per node, a derivation and a usage per edge."""
    told = json.loads(prov_document(document).serialize(format="json") or "{}")
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def prov_document(document: AuditDocument) -> ProvDocument:
    """The same as an object of the `prov` library."""
    prov = ProvDocument()
    for prefix, uri in NAMESPACES.items():
        prov.add_namespace(prefix, uri)
    _Writer(prov, document).write()
    return prov


def entity_of(key: str) -> str:
    """The qualified name of the version with this key: brackets, which a name must not have, become slashes."""
    subject, _, version = key.rpartition("@")
    return f"version:{'/'.join(AssetId.parse(subject).parts)}@{version}"


def outside_of(key: str) -> str:
    """The qualified name of a file from outside; its own name stands in its label."""
    return f"outside:{hashlib.sha256(key.encode()).hexdigest()[:16]}"


class _Writer:
    """Adds an audit to a document of `prov`. Each attribute has one value: their order is then no matter of chance."""

    def __init__(self, prov: ProvDocument, document: AuditDocument) -> None:
        self.prov, self.document = prov, document
        self.activity = {node.key: f"entry:{node.entry.entry_hash}" for node in nodes_of(document)}
        self.made = {node.entry.entry_hash: entity_of(node.key) for node in nodes_of(document)}
        self.outside = {one.key: outside_of(one.key) for one in document.outside}

    def write(self) -> None:
        """Agents first, then what they answer for, then what is related."""
        nodes = nodes_of(self.document)
        self._agents([*(node.entry for node in nodes), *self.document.releases, *self._decided()])
        for node in nodes:
            self._node(node)
        self._outside()
        self._edges()
        for entry in self.document.releases:
            self._release(entry)
        for decided in self.document.decisions:
            self._decision(decided)
        for image in self.document.images:
            self._image(image)

    def _decided(self) -> list[LedgerEntry]:
        return [one.entry for one in self.document.decisions]

    def _agents(self, entries: Iterable[LedgerEntry]) -> None:
        found = list(entries)
        for commit in sorted({_commit(one) for one in found if one.kind == "materialization"}):
            self._agent(f"commit:{commit}", "SoftwareAgent", f"Editloom at commit {commit}")
        for keyid in sorted({key for one in found for key in _keys(one)}):
            self._agent(f"key:{keyid}", "Organization", "whoever holds this signing key")
        self._agent("editloom:gate", "SoftwareAgent", "the release gate")
        for name in sorted({one.decision.by for one in self.document.decisions} - {""}):
            self._agent(_person(name), "Person", name)

    def _agent(self, name: str, kind: str, label: str) -> None:
        self.prov.agent(name, {"prov:type": PROV[kind], "prov:label": label})

    def _node(self, node: AuditNode) -> None:
        entity, activity, entry = entity_of(node.key), self.activity[node.key], node.entry
        tainted = is_tainted(self.document, node)
        self.prov.entity(entity, _entity_facts(node, tainted))
        self.prov.activity(activity, endTime=_time(entry), other_attributes=_activity_facts(entry))
        self.prov.generation(entity, activity, _time(entry))
        self.prov.association(activity, f"commit:{_commit(entry)}")
        self._signed(entity, entry)

    def _outside(self) -> None:
        for one in self.document.outside:
            facts = {"prov:type": "editloom:outside", "prov:label": one.name, "editloom:sha256": one.sha256}
            self.prov.entity(self.outside[one.key], facts)

    def _edges(self) -> None:
        for edge in edges_of(self.document):
            source = self.outside.get(edge.source) or entity_of(edge.source)
            part = {"editloom:part": edge.part} if edge.part else None
            self.prov.usage(self.activity[edge.target], source, other_attributes=part)
            self.prov.derivation(entity_of(edge.target), source, self.activity[edge.target], other_attributes=part)

    def _release(self, entry: LedgerEntry) -> None:
        """A registration: the model version that it made of a release's files."""
        activity, version = f"entry:{entry.entry_hash}", _registered(entry.body["model"], entry.body["version"])
        self.prov.activity(activity, endTime=_time(entry), other_attributes=_said(entry, "release"))
        facts: Facts = {
            "prov:type": "editloom:registered",
            "prov:label": f"{entry.body['model']}/{entry.body['version']}",
        }
        self.prov.entity(version, {**facts, "editloom:files": canonical(entry.body["files"])})
        self.prov.generation(version, activity, _time(entry))
        self._used(activity, entry.body["release"])
        self._signed(version, entry)

    def _decision(self, decided: Decided) -> None:
        entry, decision = decided.entry, decided.decision
        activity, told = f"entry:{entry.entry_hash}", f"editloom:decision/{entry.seq}"
        facts: Facts = {"editloom:outcome": decision.outcome, "editloom:reason": decision.reason}
        self.prov.activity(activity, endTime=_time(entry), other_attributes={**_said(entry, "decision"), **facts})
        self._used(activity, decision.release)
        self.prov.association(activity, _person(decision.by) if decision.by else "editloom:gate")
        aliases: Facts = {"prov:label": decision.sentence, "editloom:aliases": canonical(dict(decision.after.aliases))}
        self.prov.entity(told, {"prov:type": "editloom:decision", **aliases, "editloom:policy": decision.policy})
        self.prov.generation(told, activity, _time(entry))
        self._signed(told, entry)

    def _image(self, image: Holding) -> None:
        """That an image set holds an image."""
        self.prov.entity(
            f"image:{image.sha256}",
            {"prov:type": "editloom:image", "editloom:licence": image.licence, "editloom:subject": image.subject},
        )
        holder = self.made.get(image.entry.entry_hash)
        if holder:
            self.prov.membership(holder, f"image:{image.sha256}")

    def _used(self, activity: str, release: str) -> None:
        """That an activity looked at a release, if the audit has it."""
        if release in self.made:
            self.prov.usage(activity, self.made[release])

    def _signed(self, entity: str, entry: LedgerEntry) -> None:
        for keyid in _keys(entry):
            self.prov.attribution(entity, f"key:{keyid}")


def _entity_facts(node: AuditNode, tainted: bool) -> Facts:
    made = node.entry.materialization
    facts: Facts = {
        "prov:type": PROV["Collection"] if node.dataset else f"editloom:{kind_of(node)}",
        "prov:label": node.entry.subject,
        "editloom:dataVersion": made.data_version,
        "editloom:dvcMd5": made.dvc_md5,
        "editloom:sizeBytes": made.size_bytes,
        "editloom:tainted": tainted,
        "editloom:present": node.present,
    }
    if node.dataset is not None:
        known = vars(node.dataset)
        facts |= {
            f"editloom:{name}": v if isinstance(v, int | str) else canonical(dict(v)) for name, v in known.items()
        }
    return facts


def _activity_facts(entry: LedgerEntry) -> Facts:
    made = entry.materialization
    wanted = made.wanted
    facts = {
        **_said(entry, "materialization"),
        "editloom:codeVersion": wanted.code_version,
        "editloom:params": canonical(dict(wanted.params)),
        "editloom:paramsDigest": wanted.params_digest,
        "editloom:deviceClass": wanted.device_class,
        "editloom:environment": made.environment,
        "editloom:gitClean": made.git_clean,
    }
    runs = {"seed": wanted.seed, "dagsterRun": made.dagster_run, "mlflowRun": made.mlflow_run}
    return facts | {f"editloom:{name}": value for name, value in runs.items() if value is not None}


def _said(entry: LedgerEntry, kind: str) -> Facts:
    return {"prov:type": f"editloom:{kind}", "prov:label": f"{kind} of {entry.subject}", "editloom:seq": entry.seq}


def _time(entry: LedgerEntry) -> datetime:
    return datetime.fromisoformat(entry.at)


def _commit(entry: LedgerEntry) -> str:
    return str(entry.body["git_commit"] or UNCOMMITTED)


def _keys(entry: LedgerEntry) -> list[str]:
    return sorted({str(one["keyid"]) for one in entry.signatures})


def _person(name: str) -> str:
    """A person's qualified name: what a person is called may hold any sign."""
    return f"person:{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _registered(model: str, version: str) -> str:
    return f"registered:{model}/{version}"
