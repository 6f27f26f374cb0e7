"""An audit holds all that stands behind a target, read back from the ledger by hand."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from html.parser import HTMLParser
from typing import Any

import pytest

from orchestration.audit.document import audit_json, build_audit
from orchestration.audit.layout import BOX_HEIGHT, BOX_WIDTH, layered
from orchestration.audit.page import render_page
from orchestration.audit.targets import resolve_target
from orchestration.consent.registry import ConsentChange, record_changes
from orchestration.graph import GRAPH, AssetId
from orchestration.store.dvc import cache_dir
from orchestration.workspace import Workspace
from tests.conftest import Editloom
from tests.orchestration.published import FACES, chain, image_set, put

RELEASE = "attribute_release[beard]"


def _bodies(ws: Workspace) -> list[dict[str, Any]]:
    """The ledger's materializations, by SQL and JSON alone."""
    with closing(sqlite3.connect(ws.root / "ledger" / "ledger.sqlite")) as connection:
        rows = connection.execute("SELECT payload FROM entry WHERE kind = 'materialization' ORDER BY seq").fetchall()
    return [json.loads(row[0])["predicate"] for row in rows]


def _walk(ws: Workspace, start: str) -> tuple[set[str], set[tuple[str, str]]]:
    made = {(one["subject"], one["body"]["data_version"]): one["body"] for one in _bodies(ws)}
    newest = {one["subject"]: one["body"]["data_version"] for one in _bodies(ws)}
    keys, edges, open_ = set(), set(), [(start, newest[start])]
    while open_:
        name, version = open_.pop()
        keys.add(f"{name}@{version[:12]}")
        for other in made[(name, version)]["wanted"]["inputs"].items():
            if other in made:
                edges.add((f"{other[0]}@{other[1][:12]}", f"{name}@{version[:12]}"))
                open_.append(other)
    return keys, edges


def test_upstream_is_the_closure_that_the_ledger_holds(finished: Workspace) -> None:
    document = build_audit(finished, resolve_target(finished, RELEASE))
    keys, edges = _walk(finished, RELEASE)
    assert {node.key for node in document.upstream} == keys and document.downstream == ()
    assert {(edge.source, edge.target) for edge in document.edges} == edges
    order = [list(GRAPH).index(AssetId.parse(node.entry.subject).asset) for node in document.upstream]
    assert order == sorted(order)
    parts = {(e.source.split("@")[0], e.target.split("@")[0]): e.part for e in document.edges}
    assert parts[("aligned_images", "original_network")] == "train" and parts[("images", "aligned_images")] is None


def test_shipped_weights_judges_policy_decision_and_release_stand_in_it(finished: Workspace) -> None:
    document = build_audit(finished, resolve_target(finished, RELEASE))
    names = {one.name for one in document.outside}
    assert {"file:mlflow/policy.yaml", "shipped:original_network/generator.safetensors"} <= names
    assert sum(name.startswith("shipped:judges/") for name in names) == 11
    assert [one.decision.outcome for one in document.decisions] == ["passed"]
    assert [one.body["version"] for one in document.releases] == ["1"]
    assert document.upstream[-1].checks["gate"] and all(node.present for node in document.upstream)
    facts = next(node.dataset for node in document.upstream if node.entry.subject == "images")
    assert facts is not None and (facts.count, facts.subjects) == (300, 100)
    assert facts.licences == {"CC0-1.0": 300} and sum(facts.splits.values()) == 300
    assert document.warnings == ()


def test_downstream_with_its_edges_is_all_that_was_made_from_it(finished: Workspace) -> None:
    document = build_audit(finished, resolve_target(finished, "feature_network[beard]"))
    below = {node.entry.subject.split("[")[0] for node in document.downstream}
    assert below == {"edit_pairs", "attribute_editor", "attribute_report", "fusion_report", "attribute_release"}
    pairs = {(e.source.split("@")[0], e.target.split("@")[0]) for e in document.edges}
    assert ("original_network", "edit_pairs[beard]") in pairs and (
        "original_network",
        "feature_network[beard]",
    ) in pairs


def test_json_is_whole_and_every_edge_leads_to_a_node(finished: Workspace) -> None:
    record = json.loads(json.dumps(audit_json(build_audit(finished, resolve_target(finished, "aligned_images")))))
    keys = {node["key"] for node in record["upstream"] + record["downstream"]}
    assert len(keys) == 25 and {key for e in record["edges"] for key in (e["source"], e["target"])} <= keys
    assert record["ledger"]["seq"] == len(_all_entries(finished)) and record["format"] == "editloom-audit/1"
    network = next(node for node in record["downstream"] if node["asset"] == "original_network")
    assert network["params"]["original_network"]["start"] == "shipped" and network["git_commit"]


def test_image_has_its_sets_above_and_what_it_reached_below(finished: Workspace) -> None:
    row = next(one for one in _audit(finished, "subject:renderer:10000061")["images"] if one["image_set"] == "images")
    record = _audit(finished, row["sha256"])
    assert {one["how"] for one in record["upstream"]} == {"holds"} and record["outside"] == []
    assert {one["how"] for one in record["downstream"]} == {"measured" if row["split"] != "train" else "exposed"}


def test_manifest_that_is_gone_is_a_warning_and_no_crash(workspace: Workspace) -> None:
    old = put(workspace, AssetId("images"), {}, image_set(FACES, aligned=False))
    put(workspace, AssetId("images"), {}, image_set(FACES[1:], aligned=False))
    shutil.rmtree(cache_dir(workspace.root))
    document = build_audit(workspace, resolve_target(workspace, f"images@{old[:12]}"))
    assert document.upstream[0].dataset is None and not document.upstream[0].present
    assert any(f"The manifest of images@{old[:12]} is no longer here" in one for one in document.warnings)


def test_withdrawn_image_marks_what_it_reached(workspace: Workspace) -> None:
    chain(workspace)
    change = ConsentChange(state="withdrawn", images=(FACES[9][0],), subject=None, reason="asked", by="test")
    record_changes(workspace.root, [change])
    record = audit_json(build_audit(workspace, resolve_target(workspace, "attribute_editor[beard]")))
    marks = {node["asset"]: node["tainted"] for node in record["upstream"]}
    assert marks["images"] == "holds" and marks["attribute_editor"] == "exposed" and marks["judges"] is None
    page = render_page(workspace, build_audit(workspace, resolve_target(workspace, "attribute_editor[beard]")))
    assert "TAINTED" in page and "HOLDS WITHDRAWN" in page


class _Page(HTMLParser):
    """The ids and the addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.ids += [known["id"]] if "id" in known else []
        self.links += [known["href"]] if tag == "a" else []
        self.loads += [known["src"]] if "src" in known else []


def test_page_has_every_version_once_and_loads_nothing(finished: Workspace) -> None:
    document = build_audit(finished, resolve_target(finished, "aligned_images"))
    page = _Page()
    text = render_page(finished, document)
    page.feed(text)
    sections = [one for one in page.ids if one in {node.key for node in document.nodes}]
    assert sorted(sections) == sorted(node.key for node in document.nodes)
    assert all(link.removeprefix("#") in page.ids for link in page.links)
    assert page.loads and all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert "http://" not in text and "https://" not in text


def test_boxes_overlap_neither_each_other_nor_the_lanes() -> None:
    keys = [f"{letter}{number}" for letter in "abcd" for number in range(5)]
    pairs = [
        (a, b)
        for a in keys
        for b in keys
        if a < b and (ord(a[0]) + int(a[1]) * 7 + int(b[1]) * 3) % 4 == 0 and a[0] != b[0]
    ]
    layout = layered(keys, pairs)
    for number, one in enumerate(layout.boxes):
        assert 0 <= one.x <= layout.width - BOX_WIDTH and 0 <= one.y <= layout.height - BOX_HEIGHT
        for other in layout.boxes[number + 1 :]:
            assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
    place = {box.key: box.x for box in layout.boxes}
    assert all(place[line.source] < place[line.target] for line in layout.lines) and len(layout.lines) == len(pairs)


def test_audit_command_prints_the_tree_and_refuses_what_makes_no_sense(finished: Workspace, editloom: Editloom) -> None:
    shown = editloom(finished, "audit", RELEASE)
    assert shown.returncode == 0, shown.stderr
    assert "judges@" in shown.stdout and "300 images of 100 subjects" in shown.stdout and "champion" in shown.stdout
    refused = editloom(finished, "audit", RELEASE, "--exposure")
    assert refused.returncode == 2 and "is no image" in refused.stderr
    printed = editloom(finished, "audit", "images", "--json", "-")
    assert json.loads(printed.stdout)["target"]["kind"] == "artifact"


@pytest.mark.parametrize("what", ["audit.document", "audit.page", "audit.why", "audit.tree", "audit.commands"])
def test_no_torch_is_loaded(finished: Workspace, what: str) -> None:
    code = f"import sys, orchestration.{what}\n"
    if what == "audit.document":
        code += (
            "from pathlib import Path\nfrom orchestration.workspace import Workspace\n"
            "from orchestration.audit.targets import resolve_target\n"
            f"ws = Workspace.at(Path({str(finished.root)!r}))\n"
            "orchestration.audit.document.build_audit(ws, resolve_target(ws, 'attribute_editor-beard@champion'))\n"
        )
    heavy = {"torch"} if what == "audit.document" else {"torch", "mlflow", "dagster", "duckdb"}
    code += f"print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def _audit(ws: Workspace, target: str) -> dict[str, Any]:
    return audit_json(build_audit(ws, resolve_target(ws, target)))


def _all_entries(ws: Workspace) -> list[int]:
    with closing(sqlite3.connect(ws.root / "ledger" / "ledger.sqlite")) as connection:
        return [row[0] for row in connection.execute("SELECT seq FROM entry")]
