"""A proof of membership says only what the signed ledger entry stands for, and needs no image set to be checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.errors import UserError
from orchestration.store.keys import trusted_keys
from orchestration.verification.membership import prove_membership
from orchestration.verification.proof_file import MembershipProof, check_proof_file, read_proof
from orchestration.workspace import Workspace
from tests.conftest import Editloom
from tests.orchestration.verification.image_sets import put_images

ABSENT = "ab" * 32


def test_image_is_proved_in_the_sets_that_hold_it_and_out_of_the_others(finished: Workspace) -> None:
    images = pq.read_table(
        finished.payload("images") / "manifest.parquet", columns=["sha256", "attributes"]
    ).to_pylist()
    plain = next(one["sha256"] for one in images if "beard" not in one["attributes"])
    document = prove_membership(finished, plain)
    held = {one.asset: one.holds_image for one in document.sets}
    assert held["images"] and held["aligned_images"] and not held["attribute_images[beard]"]
    found = check_proof_file(document, trusted_keys(finished.root), finished.root)
    assert [one.state for one in found] == ["intact"] * len(document.sets)
    crop = next(one for one in found if one.thing.startswith("aligned_images"))
    assert f"made of {plain[:12]}, as the manifest says" in crop.detail


def test_lineage_of_a_target_chooses_its_image_sets(finished: Workspace) -> None:
    document = prove_membership(finished, ABSENT, target="attribute_editor[beard]")
    assert {one.asset for one in document.sets} == {"images", "aligned_images", "attribute_images[beard]"}
    assert not any(one.holds_image for one in document.sets)


def test_proofs_of_two_versions_differ_where_the_image_was_withdrawn(workspace: Workspace) -> None:
    older, newer = put_images(workspace, range(6)), put_images(workspace, range(1, 6))
    photograph = f"{0:064x}"
    held = [prove_membership(workspace, photograph, of=f"images@{one}").sets[0].holds_image for one in (older, newer)]
    assert held == [True, False]


def test_proof_is_checked_without_a_workspace(workspace: Workspace, tmp_path: Path, editloom: Editloom) -> None:
    put_images(workspace, range(6))
    proof, elsewhere = tmp_path / "proof.json", tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = editloom(workspace, "verify", "--membership", ABSENT, "--of", "images", "--out", str(proof))
    assert made.returncode == 0, made.stderr
    key = next((workspace.root / "ledger" / "keys").glob("*.pem"))
    told = editloom(elsewhere, "verify", "--proof", str(proof), "--key", str(key), EDITLOOM_WORKSPACE="")
    assert told.returncode == 0 and "is not among its 6 images" in told.stdout
    (finding,) = check_proof_file(read_proof(proof), {}, None)
    assert finding.state == "untrusted" and "--key" in finding.detail


def _other_leaf(document: dict[str, Any]) -> None:
    document["sets"][0]["images"][0]["sha256"] = ABSENT


def _denied(document: dict[str, Any]) -> None:
    document["sets"][0]["images"][0]["present"] = False


def _other_root(document: dict[str, Any]) -> None:
    one = document["sets"][0]
    one["dataset"] = one["dataset"].replace('"count": 6', '"count": 7')


def _other_file(document: dict[str, Any]) -> None:
    document["sets"][0]["files"]["manifest.parquet"] = ABSENT


def _other_version(document: dict[str, Any]) -> None:
    document["sets"][0]["data_version"] = ABSENT


def _other_image(document: dict[str, Any]) -> None:
    document["image"] = ABSENT
    document["sets"][0]["images"] = []


@pytest.mark.parametrize("forge", [_other_leaf, _denied, _other_root, _other_file, _other_version, _other_image])
def test_forged_proof_is_refused(workspace: Workspace, forge: Callable[[dict[str, Any]], None]) -> None:
    put_images(workspace, range(6))
    document = json.loads(prove_membership(workspace, f"{3:064x}").model_dump_json())
    assert _state(workspace, document) == "intact"
    forge(document)
    assert _state(workspace, document) == "altered"


def test_answer_about_another_image_is_refused(workspace: Workspace) -> None:
    put_images(workspace, range(6))
    document = json.loads(prove_membership(workspace, ABSENT).model_dump_json())
    document["image"] = f"{3:064x}"
    assert _state(workspace, document) == "altered"


def test_entry_of_another_ledger_is_not_trusted(workspace: Workspace, finished: Workspace) -> None:
    put_images(workspace, range(6))
    document = prove_membership(workspace, ABSENT)
    (finding,) = check_proof_file(document, trusted_keys(workspace.root), finished.root)
    assert finding.state == "untrusted" and "has no such entry" in finding.detail


@pytest.mark.parametrize("content", ["no JSON", '{"image": "x"}', '{"format": "other/1", "image": "x", "sets": []}'])
def test_file_that_is_no_proof_is_a_users_mistake(tmp_path: Path, content: str) -> None:
    path = tmp_path / "proof.json"
    path.write_text(content)
    with pytest.raises(UserError, match=str(path)):
        read_proof(path)


def test_what_is_no_image_is_a_users_mistake(finished: Workspace) -> None:
    with pytest.raises(UserError, match="no image file here and no sha256"):
        prove_membership(finished, "face.png")
    with pytest.raises(UserError, match="names no image set"):
        prove_membership(finished, ABSENT, of="judges")


def _state(ws: Workspace, document: dict[str, Any]) -> str:
    proof = MembershipProof.model_validate(document)
    (finding,) = check_proof_file(proof, trusted_keys(ws.root), ws.root)
    return finding.state
