"""An image is found by every hash under which a set knows it, whether its manifest is small or has an index."""

from __future__ import annotations

import hashlib
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from data.manifest import MANIFEST
from orchestration.audit import dataset_facts, image_index, sorted_keys
from orchestration.audit.image_index import holdings, holdings_of_subject, unreadable
from orchestration.audit.targets import linked_holdings
from orchestration.graph import AssetId
from orchestration.store.dvc import cache_dir
from orchestration.workspace import Workspace
from tests.orchestration.published import FACES, image_set, put


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every manifest gets an index, of several row groups."""
    monkeypatch.setattr(image_index, "DIRECT_ROWS", 0)
    monkeypatch.setattr(dataset_facts, "DIRECT_ROWS", 0)
    monkeypatch.setattr(sorted_keys, "FACTS_IN_GROUP", 7)


def _rows(ws: Workspace, *path: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(ws.root.joinpath("artifacts", *path, MANIFEST)).to_pandas()
    return frame


def test_index_finds_what_the_manifest_itself_says(finished: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(finished, "aligned_images")
    keys = [*rows["sha256"].iloc[[0, 150, 299]], *rows["parent"].iloc[[3, 299]], "0" * 64]
    subject = str(rows["subject"].iloc[42])
    direct, of_subject = holdings(finished, keys), holdings_of_subject(finished, subject)
    facts = [dataset_facts.dataset_facts(finished, entry) for entry in image_index.image_sets(finished)]
    assert len({one.sha256 for one in direct}) >= 5 and len(of_subject) >= 2
    monkeypatch.setattr(image_index, "DIRECT_ROWS", 0)
    monkeypatch.setattr(dataset_facts, "DIRECT_ROWS", 0)
    monkeypatch.setattr(sorted_keys, "FACTS_IN_GROUP", 64)
    monkeypatch.setattr(sorted_keys, "KEYS_IN_GROUP", 128)
    try:
        assert sorted(holdings(finished, keys), key=str) == sorted(direct, key=str)
        assert sorted(holdings_of_subject(finished, subject), key=str) == sorted(of_subject, key=str)
        assert [dataset_facts.dataset_facts(finished, one) for one in image_index.image_sets(finished)] == facts
    finally:
        shutil.rmtree(image_index.index_folder(finished))


@pytest.mark.usefixtures("small_groups")
def test_index_belongs_to_the_version_and_not_to_the_asset(workspace: Workspace) -> None:
    first = put(workspace, AssetId("images"), {}, image_set(FACES, aligned=False))
    assert [one.split for one in holdings(workspace, [FACES[0][0]])] == ["test"]
    put(workspace, AssetId("images"), {}, image_set(FACES[1:], aligned=False))
    found = holdings(workspace, [FACES[0][0]])
    assert [one.entry.body["data_version"] for one in found] == [first]
    assert len(holdings(workspace, [FACES[7][0]])) == 2


def test_image_is_followed_from_its_crop_to_the_picture_that_it_was_cut_from(finished: Workspace) -> None:
    crop = _rows(finished, "aligned_images").iloc[5]
    assert {one.entry.subject for one in holdings(finished, [crop["sha256"]])}.isdisjoint({"images"})
    linked = linked_holdings(finished, [crop["sha256"]])
    assert {one.sha256 for one in linked if one.entry.subject == "images"} == {crop["parent"]}


def test_rows_know_the_part_that_their_split_belongs_to(workspace: Workspace) -> None:
    rows = [("a" * 64, "s1", "train"), ("b" * 64, "s2", "validation"), ("c" * 64, "s3", "test")]
    put(workspace, AssetId("images"), {}, image_set(rows, aligned=False))
    found = {one.split: one.part for one in holdings(workspace, [row[0] for row in rows])}
    assert found == {"train": "train", "validation": "held_out", "test": "held_out"}


def test_version_whose_manifest_is_gone_is_named_as_unreadable(workspace: Workspace) -> None:
    put(workspace, AssetId("images"), {}, image_set(FACES, aligned=False))
    old = image_index.image_sets(workspace)
    put(workspace, AssetId("images"), {}, image_set(FACES[1:], aligned=False))
    assert unreadable(workspace) == []
    shutil.rmtree(cache_dir(workspace.root))
    assert unreadable(workspace) == old


def test_prefixes_of_keys_are_those_that_duckdb_writes(workspace: Workspace) -> None:
    assert sorted_keys.prefix("renderer:7") == hashlib.md5(b"renderer:7").hexdigest()[: sorted_keys.PREFIX_CHARS]
