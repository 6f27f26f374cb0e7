"""Lineage names the very versions that something was made from, also where they are not the last ones."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.lineage import lineage_of, lineage_of_inputs, payload_file
from orchestration.store.dvc import cache_dir
from orchestration.workspace import Workspace
from tests.orchestration.published import chain, put, text

EDITOR = AssetId("attribute_editor", "beard")


def test_lineage_reaches_from_the_editor_to_the_images(workspace: Workspace) -> None:
    inputs = chain(workspace)
    lineage = lineage_of(workspace.root, EDITOR, inputs[str(EDITOR)])
    assert lineage.assets == (
        "judges", "images", "aligned_images", "attribute_images", "original_network", "feature_network", "edit_pairs",
        "attribute_editor",
    )  # fmt: skip
    assert next(iter(lineage.entries)) == str(EDITOR)
    assert lineage.data_versions["judges"] == inputs["judges"]
    assert lineage.code_versions["images"] == "1"
    assert lineage.made("attribute_report") is None


def test_older_version_keeps_the_inputs_that_it_was_made_from(workspace: Workspace) -> None:
    images = AssetId("images")
    first = put(workspace, images, {}, text("a.json", "1"))
    old = put(workspace, AssetId("aligned_images"), {"images": first}, text("b.json", "1"))
    second = put(workspace, images, {}, text("a.json", "2"))
    new = put(workspace, AssetId("aligned_images"), {"images": second}, text("b.json", "2"))
    assert lineage_of(workspace.root, AssetId("aligned_images"), old).data_versions["images"] == first
    both = lineage_of_inputs(workspace.root, {"aligned_images": new, "images": first, "file:own.onnx": "ab"})
    assert dict(both.data_versions) == {"aligned_images": new, "images": first, f"images@{second[:12]}": second}


def test_file_of_a_version_that_was_replaced_comes_from_the_cache_and_never_from_its_successor(
    workspace: Workspace,
) -> None:
    first = put(workspace, AssetId("images"), {}, text("a.json", "1"))
    entry = lineage_of(workspace.root, AssetId("images"), first).entries["images"]
    assert payload_file(workspace.root, entry, "a.json") == workspace.root / "artifacts" / "images" / "a.json"
    put(workspace, AssetId("images"), {}, text("a.json", "2"))
    cached = payload_file(workspace.root, entry, "a.json")
    assert cached is not None and cached.read_text() == "1"
    shutil.rmtree(cache_dir(workspace.root))
    assert payload_file(workspace.root, entry, "a.json") is None


def test_unknown_version_names_those_that_there_are(workspace: Workspace) -> None:
    known = put(workspace, AssetId("images"), {}, text("a.json"))
    with pytest.raises(UserError, match="no entry that made images ffff") as told:
        lineage_of(workspace.root, AssetId("images"), "f" * 64)
    assert known[:12] in str(told.value.hint)
    with pytest.raises(UserError, match="no entry that made judges"):
        lineage_of(workspace.root, AssetId("judges"), known)


def test_lineage_needs_no_torch() -> None:
    code = "import sys, orchestration.lineage; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
