"""A lineage is made again in the order in which it was made, a run for what one commit and state of consent made."""

from __future__ import annotations

from orchestration.graph import AssetId
from orchestration.lineage import lineage_of, lineage_of_inputs
from orchestration.reproduction.phases import phases_of
from orchestration.store import database, ledger
from orchestration.workspace import Workspace
from tests.orchestration.published import chain, image_set, put, text

EDITOR, IMAGES, ALIGNED = AssetId("attribute_editor", "beard"), AssetId("images"), AssetId("aligned_images")


def test_one_commit_is_one_phase_with_inputs_first(workspace: Workspace) -> None:
    inputs = chain(workspace)
    (phase,) = phases_of(workspace.root, lineage_of(workspace.root, EDITOR, inputs[str(EDITOR)]))
    made = [entry.subject for entry in phase.entries]
    assert sorted(made, key=made.index)[-1] == str(EDITOR)
    assert made.index("images") < made.index("aligned_images") < made.index("original_network")
    assert (phase.partitions, phase.consent) == (("beard",), ())


def test_consent_falls_between_what_was_made_before_and_after_it(workspace: Workspace) -> None:
    images = put(workspace, IMAGES, {}, image_set([("a" * 64, "s", "train")], aligned=False))
    body = {"state": "withdrawn", "images": ["b" * 64], "subject": None, "reason": "asked", "by": "me"}
    with database.writing(workspace.root) as connection:
        ledger.append(workspace.root, connection, ledger.CONSENT, "b" * 64, body)
    aligned = put(workspace, ALIGNED, {"images": images}, image_set([("c" * 64, "s", "train")]))
    before, after = phases_of(workspace.root, lineage_of(workspace.root, ALIGNED, aligned))
    assert ([e.subject for e in before.entries], before.consent) == (["images"], ())
    assert ([e.subject for e in after.entries], [e.body for e in after.consent]) == (["aligned_images"], [body])


def test_two_versions_of_one_asset_are_made_one_after_the_other(workspace: Workspace) -> None:
    old = put(workspace, IMAGES, {}, text("a.json", "1"))
    aligned = put(workspace, ALIGNED, {"images": old}, text("b.json"))
    new = put(workspace, IMAGES, {}, text("a.json", "2"))
    phases = phases_of(workspace.root, lineage_of_inputs(workspace.root, {"images": new, "aligned_images": aligned}))
    versions = [entry.body["data_version"] for phase in phases for entry in phase.entries]
    assert (len(phases), versions) == (2, [old, aligned, new])


def test_settings_in_two_states_are_two_phases(workspace: Workspace) -> None:
    images = put(workspace, IMAGES, {}, text("a.json"), {"category": "face"})
    aligned = put(workspace, ALIGNED, {"images": images}, text("b.json"), {"category": "vehicle"})
    assert len(phases_of(workspace.root, lineage_of(workspace.root, ALIGNED, aligned))) == 2
