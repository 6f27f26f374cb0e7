"""An audit as OpenLineage, PROV and CycloneDX: valid, with every edge and no other, the same bytes each time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow.parquet as pq
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from prov.model import ProvDocument

from data.errors import UserError
from orchestration.audit.document import AuditDocument, build_audit
from orchestration.audit.exports import export
from orchestration.audit.exports.cyclonedx_card import report_metrics
from orchestration.audit.exports.openlineage import LEDGER_FACET
from orchestration.audit.exports.prov import entity_of, outside_of, prov_document
from orchestration.audit.targets import resolve_target
from orchestration.lineage import SHOWN_DIGITS
from orchestration.tracking.reports import ReportRecord
from orchestration.workspace import Workspace

FORMS = ("openlineage", "prov", "cyclonedx")
RELEASE, IMAGES = "attribute_release[beard]", "images"
Links = list[tuple[str, str]]


@pytest.fixture(scope="module", params=[RELEASE, IMAGES])
def document(request: pytest.FixtureRequest, finished: Workspace) -> AuditDocument:
    """An audit that looks up, and one that looks down."""
    return build_audit(finished, resolve_target(finished, request.param))


@pytest.fixture(scope="module")
def release(finished: Workspace) -> AuditDocument:
    return build_audit(finished, resolve_target(finished, RELEASE))


def text(document: AuditDocument, form: str, ws: Workspace) -> str:
    told = export(document, form, None, ws)
    assert isinstance(told, str)
    return told


def events(told: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.splitlines()]


def openlineage_links(told: str, document: AuditDocument) -> Links:
    def key(dataset: dict[str, Any]) -> str:
        return f"{dataset['name']}@{dataset['facets']['version']['datasetVersion'][:SHOWN_DIGITS]}"

    return [(key(read), key(event["outputs"][0])) for event in events(told) for read in event["inputs"]]


def prov_links(told: str, document: AuditDocument) -> Links:
    names = {entity_of(node.key): node.key for node in document.nodes}
    names |= {outside_of(one.key): one.key for one in document.outside}
    derived = json.loads(told)["wasDerivedFrom"].values()
    return [(names[one["prov:usedEntity"]], names[one["prov:generatedEntity"]]) for one in derived]


def cyclonedx_links(told: str, document: AuditDocument) -> Links:
    return [(used, one["ref"]) for one in json.loads(told)["dependencies"] for used in one.get("dependsOn", ())]


LINKS: dict[str, Callable[[str, AuditDocument], Links]] = {
    "openlineage": openlineage_links,
    "prov": prov_links,
    "cyclonedx": cyclonedx_links,
}


@pytest.mark.parametrize("form", FORMS)
def test_export_has_every_edge_of_the_audit_and_no_other(
    form: str, document: AuditDocument, finished: Workspace
) -> None:
    expected = [(edge.source, edge.target) for edge in document.edges]
    expected += [(one.key, user) for one in document.outside for user in one.used_by]
    assert len(expected) > 15
    assert sorted(LINKS[form](text(document, form, finished), document)) == sorted(expected)


def test_openlineage_events_have_what_the_specification_requires(document: AuditDocument, finished: Workspace) -> None:
    made = events(text(document, "openlineage", finished))
    assert [event["run"]["facets"][LEDGER_FACET]["seq"] for event in made] == sorted(
        node.entry.seq for node in document.nodes
    )
    assert len({event["run"]["runId"] for event in made}) == len(made)
    for event in made:
        assert event["eventType"] == "COMPLETE" and event["schemaURL"].endswith("OpenLineage.json#/$defs/RunEvent")
        assert urlparse(event["producer"]).scheme and uuid.UUID(event["run"]["runId"])
        datasets = [*event["inputs"], *event["outputs"]]
        assert all(one["namespace"] and one["name"] for one in (event["job"], *datasets))
        kept = [one.get(name, {}) for one in datasets for name in ("facets", "inputFacets", "outputFacets")]
        for facets in (event["run"]["facets"], event["job"]["facets"], *kept):
            assert all(urlparse(one["_producer"]).scheme for one in facets.values())
            assert all(urlparse(one["_schemaURL"]).scheme for one in facets.values())


def test_openlineage_says_which_part_of_an_image_set_was_read(release: AuditDocument, finished: Workspace) -> None:
    made = {event["job"]["name"]: event for event in events(text(release, "openlineage", finished))}

    def part(job: str, dataset: str) -> str | None:
        read = next(one for one in made[job]["inputs"] if one["name"] == dataset)
        subset = read["inputFacets"].get("subset")
        return subset["inputCondition"]["partitions"][0]["identifier"] if subset else None

    assert part("original_network", "aligned_images") == "train"
    assert part("attribute_report[beard]", "aligned_images") == "held_out"
    assert part("aligned_images", "images") is None


def test_prov_is_read_back_as_the_same_document(document: AuditDocument, finished: Workspace) -> None:
    told = text(document, "prov", finished)
    assert ProvDocument.deserialize(content=told, format="json") == prov_document(document)


def test_person_who_approved_is_named(release: AuditDocument, finished: Workspace) -> None:
    decided = release.decisions[0]
    approved = decided.decision.model_copy(update={"outcome": "approved", "by": "Zoë Öz", "reason": "looked at it"})
    by_hand = replace(release, decisions=(replace(decided, decision=approved),))
    prov = json.loads(text(by_hand, "prov", finished))
    person = next(name for name, agent in prov["agent"].items() if agent["prov:label"] == "Zoë Öz")
    answered = [one["prov:activity"] for one in prov["wasAssociatedWith"].values() if one["prov:agent"] == person]
    assert answered == [f"entry:{decided.entry.entry_hash}"]
    bom = json.loads(text(by_hand, "cyclonedx", finished))
    assert bom["annotations"][0]["annotator"] == {"individual": {"name": "Zoë Öz"}}


def test_bill_of_materials_is_valid_and_about_the_target(document: AuditDocument, finished: Workspace) -> None:
    told = text(document, "cyclonedx", finished)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told) is None
    bom = json.loads(told)
    assert bom["metadata"]["component"]["bom-ref"] in {node.key for node in document.upstream}
    assert not {"version:", "target:"} & {part["bom-ref"][:8] for part in bom["components"]}
    refs = [bom["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in bom["components"])]
    assert len(refs) == len(set(refs)) == len(document.nodes) + len(document.outside)


def test_bill_of_a_release_holds_its_hashes_numbers_licences_and_decision(
    release: AuditDocument, finished: Workspace
) -> None:
    bom = json.loads(text(release, "cyclonedx", finished))
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "attribute_editor-beard")
    hashes = {one["name"]: one["hashes"][0]["content"] for one in model["components"]}
    assert hashes == release.releases[0].body["files"]
    report = json.loads((finished.payload("attribute_report", "beard") / "metrics.json").read_text())
    measured = [metric for metric in report["rows"][0]["metrics"] if metric["value"] is not None]
    told = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    whole = [one["value"] for one in told if "slice" not in one]
    assert whole == [str(metric["value"]) for metric in measured]
    first = measured[0]["interval"]
    bounds = {"lowerBound": str(first["low"]), "upperBound": str(first["high"])}
    assert told[0]["confidenceInterval"] == bounds
    images = next(one for one in bom["components"] if one["name"] == "images")
    assert images["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    assert {"ref": images["bom-ref"]} in model["modelCard"]["modelParameters"]["datasets"]
    assert bom["annotations"][0]["subjects"] == [model["bom-ref"]]
    assert "photographs" in model["modelCard"]["considerations"]["technicalLimitations"][0]


def test_metric_of_a_slice_names_the_slice(release: AuditDocument) -> None:
    metric = {"name": "psnr_outside", "value": 31.5, "unit": "dB", "judge": "parser_eval", "interval": None}
    unmeasured = {**metric, "value": None}
    slices = [{"dimension": "pose", "label": "profile", "metric": one} for one in (metric, unmeasured)]
    record = ReportRecord({"rows": [{"key": "editor", "metrics": [metric]}], "slices": slices})
    node = next(node for node in release.nodes if node.entry.subject == "attribute_report[beard]")
    known = {"type": "psnr_outside (dB; parser_eval; attribute_report[beard])", "value": "31.5"}
    assert list(report_metrics(node, record)) == [known, {**known, "slice": "pose: profile"}]


def test_image_is_a_member_of_its_sets(finished: Workspace) -> None:
    sha256 = pq.read_table(finished.payload("images") / "manifest.parquet")["sha256"][0].as_py()
    document = build_audit(finished, resolve_target(finished, sha256))
    members = json.loads(text(document, "prov", finished))["hadMember"].values()
    held = {(one["prov:collection"], one["prov:entity"]) for one in members}
    keys = {node.entry.entry_hash: node.key for node in document.upstream}
    assert held == {(entity_of(keys[one.entry.entry_hash]), f"image:{one.sha256}") for one in document.images}
    bom = json.loads(text(document, "cyclonedx", finished))
    asked = next(one for one in bom["components"] if one["bom-ref"] == f"image:{sha256}")
    assert asked["hashes"] == [{"alg": "SHA-256", "content": sha256}]


def test_exports_are_the_same_bytes_in_another_process_and_need_no_torch(
    release: AuditDocument, finished: Workspace, tmp_path: Path
) -> None:
    code = f"""
import sys
from pathlib import Path
from orchestration.audit.document import build_audit
from orchestration.audit.exports import export
from orchestration.audit.targets import resolve_target
from orchestration.workspace import Workspace
ws = Workspace.at(Path({str(finished.root)!r}))
document = build_audit(ws, resolve_target(ws, {RELEASE!r}))
for form in {FORMS!r}:
    assert export(document, form, Path({str(tmp_path)!r}) / form, ws).exists()
assert not {{"torch", "mlflow", "dagster"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)
    for form in FORMS:
        assert (tmp_path / form).read_text() == text(release, form, finished)


@contextmanager
def lineage_server(refuse_after: int = 1000) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """An HTTP server that collects (path, event), and answers 403 once it has had enough."""
    received: list[tuple[str, dict[str, Any]]] = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            full = len(received) >= refuse_after
            if not full:
                received.append((self.path, json.loads(body)))
            self.send_response(403 if full else 201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_server_receives_each_event_once_and_as_it_stands_in_the_file(
    release: AuditDocument, finished: Workspace, tmp_path: Path
) -> None:
    with lineage_server() as (url, received):
        file = export(release, "openlineage", tmp_path / "events.jsonl", finished, url)
        assert isinstance(file, Path)
        assert [event for _, event in received] == events(file.read_text())
        assert export(release, "openlineage", None, finished, url) == f"Sent {len(received) // 2} events to {url}."
    assert {path for path, _ in received} == {"/api/v1/lineage"}


def test_server_that_refuses_or_is_down_is_told(release: AuditDocument, finished: Workspace) -> None:
    total = len(release.nodes)
    with (
        lineage_server(refuse_after=3) as (url, received),
        pytest.raises(UserError, match=f"answered 403 Forbidden to event 4 of {total}"),
    ):
        export(release, "openlineage", None, finished, url)
    assert len(received) == 3
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=f"does not answer: 0 of {total} events"):
        export(release, "openlineage", None, finished, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("form", "out", "url", "said"),
    [
        ("spdx", None, None, "no export 'spdx'"),
        ("prov", None, "http://127.0.0.1:1", "sent to no server"),
        ("openlineage", None, "localhost", "no address"),
        ("prov", "absent/file.json", None, "cannot be written"),
    ],
)
def test_mistake_is_told_and_nothing_is_written(
    form: str,
    out: str | None,
    url: str | None,
    said: str,
    release: AuditDocument,
    finished: Workspace,
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=said):
        export(release, form, tmp_path / out if out else None, finished, url)
    assert not list(tmp_path.iterdir())
