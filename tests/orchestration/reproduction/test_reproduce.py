"""A release comes out bit for bit; what does not is named with its first cause; what cannot be is refused at once."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from data.errors import UserError
from orchestration.graph import AssetId
from orchestration.plan import wanted
from orchestration.reproduction.own_files import link_photographs, place_recorded
from orchestration.reproduction.reproduce import Options, reproduce
from orchestration.reproduction.result import Reproduction
from orchestration.reproduction.site import Site
from orchestration.reproduction.target import target_entry
from orchestration.store import ledger
from orchestration.store.ledger import LedgerEntry
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace
from tests.conftest import Editloom
from tests.orchestration.published import put, text

IMAGES, ALIGNED = AssetId("images"), AssetId("aligned_images")


def _again(ws: Workspace, target: str, **options: Any) -> Reproduction:
    return reproduce(ws, target, Options(**options), Console(quiet=True))


def _publish(ws: Workspace, asset: AssetId, write: Callable[[Path], object], **changed: Any) -> LedgerEntry:
    """A version of an asset as wanted now, but for what is `changed` in its record."""
    record = PublishRecord(wanted=wanted(ws, ws.params(), asset).model_copy(update=changed))
    with staging_dir(ws.root, asset) as staged:
        write(staged)
        return publish(ws.root, record, staged, commit_dvc=False)


def _edited(ws: Workspace, asset: AssetId) -> Callable[[Path], object]:
    """The payload in place, with another count in its dataset.json."""

    def write(folder: Path) -> None:
        shutil.copytree(ws.root / asset.path, folder, dirs_exist_ok=True)
        document = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps({**document, "count": document["count"] + 1}))

    return write


@pytest.mark.timeout(900)
def test_release_is_reproduced_bit_for_bit(finished: Workspace, tmp_path: Path, editloom: Editloom) -> None:
    out = tmp_path / "result.json"
    done = editloom(finished, "reproduce", "attribute_editor-beard@champion", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["identical"] and found["first_difference"] is None
    made = {one["key"]: one for one in found["compared"]}
    assert {"images", "original_network", "attribute_editor[beard]", "attribute_release[beard]"} <= made.keys()
    assert all(one["version"] == one["recorded_version"] for one in made.values())
    assert "bit for bit" in done.stdout


def test_first_asset_that_diverges_and_the_input_that_differs_are_named(baseline: Workspace) -> None:
    images = _publish(baseline, IMAGES, _edited(baseline, IMAGES))
    aligned = _publish(baseline, ALIGNED, _edited(baseline, ALIGNED))
    found = _again(baseline, "aligned_images")
    assert not found.reproduced
    assert found.first is not None and found.first.key == "images"
    assert [file.file for file in found.first.files] == ["dataset.json"]
    assert found.first.files[0].max_abs == 1
    second = found.compared[-1]
    assert (second.key, second.verdict, second.entry) == ("aligned_images", "differs", aligned.entry_hash)
    assert any(f"recorded {images.body['data_version'][:12]}" in cause for cause in second.causes)


def test_only_the_target_is_made_from_inputs_by_hash(baseline: Workspace, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = _again(baseline, "aligned_images", asset_only=True, keep=kept)
    assert [(one.key, one.verdict) for one in found.compared] == [("aligned_images", "identical")]
    root = next(kept.rglob("params.yaml")).parent
    made = {entry.subject: entry.body["dagster_run"] for entry in ledger.entries(root, kind=ledger.MATERIALIZATION)}
    assert made["images"] is None and made["aligned_images"]
    own = {entry.signatures[0]["keyid"] for entry in ledger.entries(baseline.root)}
    assert not own & {entry.signatures[0]["keyid"] for entry in ledger.entries(root)}


def test_run_that_fails_leaves_its_words(workspace: Workspace, change_params: Callable[..., None]) -> None:
    folder = {"images.source": "folder", "images.ingest.path": "photographs", "aligned_images.detector": "dlib"}
    change_params(workspace, folder)
    (workspace.root / "photographs").mkdir()
    _publish(workspace, IMAGES, text("a.json"))
    found = _again(workspace, "images")
    assert (found.compared[0].verdict, found.reproduced) == ("not made", False)
    assert "photographs" in found.compared[0].causes[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"code_version": "0"}, "images was made by code version 0; the code installed is at"),
        ({"params_digest": "f" * 64}, "The recorded settings of images do not have the recorded digest ffff"),
    ],
)
def test_other_code_or_altered_settings_are_refused_before_anything_runs(
    workspace: Workspace, changed: dict[str, Any], said: str
) -> None:
    _publish(workspace, IMAGES, text("a.json"), **changed)
    with pytest.raises(UserError) as refused:
        _again(workspace, "images")
    assert refused.value.message.startswith(said)


def test_commit_that_is_not_there_is_named(workspace: Workspace) -> None:
    entry = _publish(workspace, IMAGES, text("a.json"))
    shutil.rmtree(workspace.root / ".git")
    commit = entry.body["git_commit"]
    with pytest.raises(UserError, match=f"no git repository, and the ledger names commit {commit}"):
        _again(workspace, "images")
    subprocess.run(["git", "init", "--quiet"], cwd=workspace.root, check=True)
    with pytest.raises(UserError, match=f"{commit} that the ledger names is not in this repository"):
        _again(workspace, "images")


def test_commit_of_no_branch_is_found(workspace: Workspace) -> None:
    _publish(workspace, IMAGES, text("a.json"), code_version="0")
    identity = ("-c", "user.name=A", "-c", "user.email=a@localhost")
    amend = ("git", *identity, "commit", "--quiet", "--amend", "--no-gpg-sign", "-m", "Another")
    subprocess.run(amend, cwd=workspace.root, check=True)
    with pytest.raises(UserError, match="code version"):
        _again(workspace, "images")


def test_target_that_is_several_things_and_a_folder_in_use_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    for asset in (IMAGES, ALIGNED):
        put(workspace, asset, {}, text("a.json", str(asset)), dagster_run="0123456789ab")
    with pytest.raises(UserError, match="0123456789 made several things: images, aligned_images"):
        target_entry(workspace, "0123456789")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(UserError, match="is not empty"):
        _again(workspace, "images", keep=tmp_path / "used")


def test_own_file_comes_back_by_its_hash_or_is_named(workspace: Workspace, tmp_path: Path) -> None:
    policy = Path("mlflow", "policy.yaml")
    sha256 = hashlib.sha256((workspace.root / policy).read_bytes()).hexdigest()
    release = AssetId("attribute_release", "beard")
    put(workspace, release, {f"file:{policy}": sha256}, text("a.json"))
    (workspace.root / policy).write_text("changed since")
    site = Site(tmp_path, tmp_path, tmp_path / "log")
    place_recorded(workspace, site, ledger.entries(workspace.root))
    assert hashlib.sha256((tmp_path / policy).read_bytes()).hexdigest() == sha256
    put(workspace, release, {f"file:{policy}": "0" * 64}, text("a.json"))
    with pytest.raises(UserError, match=r"mlflow/policy.yaml as attribute_release\[beard\] was made with"):
        place_recorded(workspace, site, ledger.entries(workspace.root))


def test_relative_photographs_lead_to_the_original_ones(workspace: Workspace, tmp_path: Path) -> None:
    photos = workspace.root.parent / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"face")
    site = Site(tmp_path / "base" / "in", tmp_path / "base" / "in" / "workspace", tmp_path / "log")
    link_photographs(workspace, site, ["../photos/*.jpg"])
    assert (tmp_path / "base" / "in" / "photos" / "a.jpg").read_bytes() == b"face"
    with pytest.raises(UserError, match="is not there any more"):
        link_photographs(workspace, site, ["nowhere"])


def test_room_knows_no_torch() -> None:
    code = (
        "import sys; import orchestration.reproduction.commands, orchestration.reproduction.reproduce; "
        "import orchestration.reproduction.placing, orchestration.reproduction.probe; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
