"""An audit as JSON, with keys that stay: other tools read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestration.audit.nodes import AuditNode
from orchestration.graph import AssetId
from orchestration.store.ledger import LedgerEntry

if TYPE_CHECKING:
    from orchestration.audit.document import AuditDocument
    from orchestration.audit.image_index import Holding

FORMAT = "editloom-audit/1"
_MADE = ("data_version", "dvc_md5", "size_bytes", "files", "parts", "git_commit", "git_clean", "environment")
_RUNS = ("dagster_run", "mlflow_run")
_WANTED = ("code_version", "params", "params_digest", "seed", "inputs", "device_class")


def audit_json(document: AuditDocument) -> dict[str, Any]:
    """The audit as a JSON document: lists in ledger or graph order, every reference a node's `key`."""
    return {
        "format": FORMAT,
        "target": {"kind": document.target.kind, "text": document.target.text, "image": document.target.image},
        "ledger": asdict(document.head),
        "upstream": [_node(node, document.tainted) for node in document.upstream],
        "downstream": [_node(node, document.tainted) for node in document.downstream],
        "edges": [asdict(edge) for edge in document.edges],
        "outside": [asdict(one) for one in document.outside],
        "decisions": [
            {**_entry(one.entry), **one.decision.model_dump(mode="json"), "sentence": one.decision.sentence}
            for one in document.decisions
        ],
        "releases": [{**_entry(one), **one.body} for one in document.releases],
        "images": [_image(one) for one in document.images],
        "warnings": list(document.warnings),
    }


def _node(node: AuditNode, tainted: Mapping[str, str]) -> dict[str, Any]:
    body = node.entry.body
    asset = AssetId.parse(node.entry.subject)
    return {
        "key": node.key,
        "asset": asset.asset,
        "partition": asset.partition,
        **_entry(node.entry),
        **{name: body.get(name) for name in (*_MADE, *_RUNS)},
        **{name: body["wanted"].get(name) for name in _WANTED},
        "dataset": asdict(node.dataset) if node.dataset else None,
        "checks": dict(node.checks),
        "present": node.present,
        "how": node.how,
        "tainted": tainted.get(node.key),
    }


def _entry(entry: LedgerEntry) -> dict[str, Any]:
    return {"seq": entry.seq, "at": entry.at, "entry_hash": entry.entry_hash}


def _image(one: Holding) -> dict[str, Any]:
    known = {name: value for name, value in vars(one).items() if name != "entry"}
    return {"image_set": one.entry.subject, "data_version": one.entry.body["data_version"], **known}
