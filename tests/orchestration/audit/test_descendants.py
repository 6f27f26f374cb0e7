"""What an image reached, as an independent walk over the graph's edges and the manifests on disk has it."""

from __future__ import annotations

import json

import pyarrow.parquet as pq

from data.manifest import MANIFEST
from orchestration.audit.descendants import descendants
from orchestration.audit.image_index import holdings
from orchestration.graph import AssetId
from orchestration.store import ledger
from orchestration.workspace import Workspace
from tests.orchestration.published import FACES, image_set, put, text

SETS = ("images", "aligned_images", "attribute_images")


def _how(ws: Workspace, *keys: str) -> dict[str, str]:
    return {one.entry.subject: one.how for one in descendants(ws, holdings(ws, keys))}


def _holders(ws: Workspace, parent: str, crop: str) -> set[str]:
    """Image sets with the image, from the manifests in their places."""
    found = set()
    for manifest in (path for name in SETS for path in (ws.root / "artifacts" / name).rglob(MANIFEST)):
        if {parent, crop} & set(pq.read_table(manifest)["sha256"].to_pylist()):
            found.add(manifest.parent.relative_to(ws.root / "artifacts").as_posix())
    return found


def test_training_image_exposes_every_model_and_what_is_said_of_it(finished: Workspace) -> None:
    rows = pq.read_table(finished.root / "artifacts" / "aligned_images" / MANIFEST).to_pandas()
    row = rows[rows["split"] == "train"].iloc[0]
    found = _how(finished, row["sha256"], row["parent"])
    held = {one.replace("[", "/").rstrip("]") for one, how in found.items() if how == "holds"}
    assert held == _holders(finished, row["parent"], row["sha256"])
    made = {entry.subject for entry in ledger.entries(finished.root, kind=ledger.MATERIALIZATION)}
    untouched = {one for one in made if AssetId.parse(one).asset in {"judges", "judge_images"} or "images" in one}
    assert {one for one, how in found.items() if how == "exposed"} == made - untouched
    assert "measured" not in found.values()


def test_held_out_image_reaches_measurements_alone(finished: Workspace) -> None:
    rows = pq.read_table(finished.root / "artifacts" / "aligned_images" / MANIFEST).to_pandas()
    row = rows[rows["split"] == "test"].iloc[0]
    found = _how(finished, row["sha256"], row["parent"])
    assert {AssetId.parse(one).asset for one, how in found.items() if how == "measured"} == {
        "original_report", "attribute_report", "attribute_release",
    }  # fmt: skip
    assert "exposed" not in found.values() and found["images"] == "holds"


def test_image_of_one_attributes_own_set_reaches_that_attributes_chain_alone(workspace: Workspace) -> None:
    own = ("e" * 64, "own", "train")
    shared = {"aligned_images": put(workspace, AssetId("aligned_images"), {}, image_set(FACES))}
    original = {"original_network": put(workspace, AssetId("original_network"), shared, text("n.json"))}
    for name, rows in (("beard", [*FACES, own]), ("smile", FACES)):
        chosen = {
            f"attribute_images[{name}]": put(workspace, AssetId("attribute_images", name), shared, image_set(rows))
        }
        network = put(workspace, AssetId("feature_network", name), {**original, **chosen}, text("n.json", f'"{name}"'))
        pairs = {f"feature_network[{name}]": network, **original}
        put(workspace, AssetId("edit_pairs", name), pairs, text("p.json", f'"{name}"'))
    assert _how(workspace, own[0]) == {
        "attribute_images[beard]": "holds", "feature_network[beard]": "exposed", "edit_pairs[beard]": "exposed",
    }  # fmt: skip
    found = descendants(workspace, holdings(workspace, [own[0]]))
    assert [one.via for one in found] == [(), ("attribute_images[beard]",), ("feature_network[beard]",)]


def test_set_made_from_another_descends_by_membership_and_not_by_its_edge(workspace: Workspace) -> None:
    first = {"images": put(workspace, AssetId("images"), {}, image_set(FACES, aligned=False))}
    put(workspace, AssetId("aligned_images"), first, image_set(FACES[1:]))
    assert _how(workspace, FACES[0][0]) == {"images": "holds"}


def test_bytes_that_were_made_again_without_the_image_owe_it_nothing(workspace: Workspace) -> None:
    old = {"aligned_images": put(workspace, AssetId("aligned_images"), {}, image_set(FACES))}
    network = put(workspace, AssetId("original_network"), old, text("n.json", "1"))
    feature = {"original_network": network}
    put(workspace, AssetId("feature_network", "beard"), feature, text("f.json"))
    assert _how(workspace, FACES[9][0])["feature_network[beard]"] == "exposed"
    clean = {"aligned_images": put(workspace, AssetId("aligned_images"), {}, image_set(FACES[:9]))}
    assert put(workspace, AssetId("original_network"), clean, text("n.json", "1")) == network
    found = descendants(workspace, holdings(workspace, [FACES[9][0]]))
    assert [(one.entry.subject, one.how) for one in found] == [
        ("aligned_images", "holds"), ("original_network", "exposed"),
    ]  # fmt: skip


def test_descendants_come_in_ledger_order_with_bodies_that_can_be_read(finished: Workspace) -> None:
    rows = pq.read_table(finished.root / "artifacts" / "images" / MANIFEST).to_pandas()
    found = descendants(finished, holdings(finished, rows["sha256"][:1]))
    assert [one.entry.seq for one in found] == sorted(one.entry.seq for one in found)
    for one in found:
        assert one.entry.materialization.wanted.id == AssetId.parse(one.entry.subject)
        assert json.loads(one.entry.payload)["predicate"]["body"] == dict(one.entry.body)
