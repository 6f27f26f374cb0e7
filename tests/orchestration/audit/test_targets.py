"""Whatever an auditor has in hand leads to the same entries; what leads nowhere is told with what was tried."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.errors import UserError
from data.manifest import MANIFEST
from data.shards import read_images
from orchestration.audit.targets import resolve_target
from orchestration.graph import AssetId
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.workspace import Workspace
from tests.orchestration.published import FACES, image_set, put, text


def _editor(ws: Workspace) -> LedgerEntry:
    entry = ledger.last_entry(ws.root, "attribute_editor", "beard")
    assert entry is not None
    return entry


def test_everything_that_names_a_version_leads_to_its_entry(finished: Workspace) -> None:
    editor = _editor(finished)
    body = editor.body
    for text_, kind in {
        "attribute_editor[beard]": "artifact",
        f"attribute_editor[beard]@{body['data_version'][:6]}": "artifact",
        body["data_version"]: "artifact",
        body["data_version"][:10].upper(): "artifact",
        editor.entry_hash[:10]: "artifact",
        body["dvc_md5"]: "dvc",
        body["dvc_md5"][:10]: "dvc",
        body["mlflow_run"]: "mlflow_run",
    }.items():
        found = resolve_target(finished, text_)
        assert (found.kind, found.entries, found.image) == (kind, (editor,), None), text_


def test_dagster_run_is_everything_that_it_made(finished: Workspace) -> None:
    run = _editor(finished).body["dagster_run"]
    made = [e for e in ledger.entries(finished.root, kind=ledger.MATERIALIZATION) if e.body["dagster_run"] == run]
    assert list(resolve_target(finished, run).entries) == made and len(made) > 2


def test_model_is_the_release_that_was_registered(finished: Workspace) -> None:
    release = ledger.last_entry(finished.root, "attribute_release", "beard")
    for spec in ("attribute_editor-beard@champion", "attribute_editor-beard/1"):
        found = resolve_target(finished, spec)
        assert (found.kind, found.entries) == ("model", (release,))


def test_image_is_known_by_file_by_hash_and_by_subject(finished: Workspace, tmp_path: Path) -> None:
    folder = finished.root / "artifacts" / "images"
    rows = pq.read_table(folder / MANIFEST).to_pandas()
    sha256, subject = rows["sha256"].iloc[0], rows["subject"].iloc[0]
    file = tmp_path / "face.png"
    shard = folder / rows["shard"].iloc[0]
    offset, length = int(rows["offset"].iloc[0]), int(rows["length"].iloc[0])
    file.write_bytes(shard.read_bytes()[offset : offset + length])
    by_file, by_hash = resolve_target(finished, str(file)), resolve_target(finished, sha256)
    assert by_file.image == by_hash.image == sha256 and by_file.entries == by_hash.entries
    assert {entry.subject for entry in by_hash.entries} >= {"images", "aligned_images"}
    assert resolve_target(finished, f"subject:{subject}").image is None
    assert len(list(read_images(folder, rows[:1]))) == 1


@pytest.mark.parametrize(
    ("target", "said", "hint"),
    [
        ("attribute_editr", "it is no asset, no registered model", "Did you mean attribute_editor"),
        ("attribute_editor", "means several assets", "attribute_editor[beard]"),
        ("feature_network[nose]", "was never made", "feature_network[beard]"),
        ("images@ffff", "no such version", "newest first"),
        ("ffffffffff", "no data version, DVC md5, ledger entry, Dagster run or MLflow run", "A target is MODEL@ALIAS"),
        ("f" * 64, "and no image set holds it", ""),
        ("missing/face.png", "it is no file here", ""),
        ("subject:nobody", "shows in no image set", ""),
        ("abc", "no digest of at least 6 digits", ""),
    ],
)
def test_unknown_target_is_told_with_what_was_tried(finished: Workspace, target: str, said: str, hint: str) -> None:
    with pytest.raises(UserError) as told:
        resolve_target(finished, target)
    assert said in told.value.message and hint in (told.value.hint or "")


def test_file_that_is_in_no_image_set_says_so(finished: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "other.png"
    file.write_bytes(b"no image of this ledger")
    with pytest.raises(UserError, match="is in no image set of this ledger"):
        resolve_target(finished, str(file))


def test_manifests_that_could_not_be_looked_into_are_named(workspace: Workspace) -> None:
    put(workspace, AssetId("images"), {}, image_set(FACES, aligned=False))
    put(workspace, AssetId("images"), {}, image_set(FACES[1:], aligned=False))
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    with pytest.raises(UserError) as told:
        resolve_target(workspace, "subject:renderer:10000000")
    assert "Not looked into" in (told.value.hint or "") and "images@" in (told.value.hint or "")


def test_prefix_of_several_things_names_them(workspace: Workspace) -> None:
    shared = "12345678-0000-4000-8000-00000000000"
    put(workspace, AssetId("images"), {}, text("a.json", "1"), dagster_run=f"{shared}1")
    put(workspace, AssetId("judges"), {}, text("a.json", "2"), dagster_run=f"{shared}2")
    with pytest.raises(UserError) as told:
        resolve_target(workspace, "12345678")
    assert f"Dagster run {shared}1 (images)" in (told.value.hint or "")
    assert f"Dagster run {shared}2 (judges)" in (told.value.hint or "")
    assert resolve_target(workspace, f"{shared}2").entries[0].subject == "judges"
