"""`editloom why` names the setting, code or input that changed, down to the first cause."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.errors import UserError
from orchestration.audit.why import FIRST, NOTHING, Reason, why
from orchestration.graph import AssetId
from orchestration.workspace import Workspace
from tests.conftest import Editloom
from tests.orchestration.published import FACES, image_set, put, text

IMAGES, ALIGNED, NETWORK = AssetId("images"), AssetId("aligned_images"), AssetId("original_network")


def _texts(reasons: tuple[Reason, ...]) -> list[str]:
    return [line for one in reasons for line in (one.text, *_texts(one.because))]


def _twice(ws: Workspace) -> None:
    """Two makings of a chain: the second with a smaller set, because of a setting."""
    for rows, size in ((FACES, 3), (FACES[:-1], 4)):
        settings = {"images": {"renderer": {"count": size}}}
        images = {"images": put(ws, IMAGES, {}, image_set(rows, aligned=False), settings)}
        aligned = {"aligned_images": put(ws, ALIGNED, images, image_set(rows))}
        put(ws, NETWORK, aligned, text("n.json", str(size)))


def test_changed_setting_is_named_as_the_first_cause_through_the_inputs(workspace: Workspace) -> None:
    _twice(workspace)
    (network,) = why(workspace, NETWORK).then
    assert network.text.startswith("aligned_images changed (")
    (images,) = network.because
    assert images.text.startswith("images changed (")


def test_setting_code_and_seed_are_told_old_and_new(workspace: Workspace) -> None:
    first, second = ({"images": {"count": count}} for count in (3, 4))
    put(workspace, IMAGES, {}, text("a.json", "1"), first)
    from orchestration.store.publish import publish
    from orchestration.store.records import PublishRecord, Wanted
    from orchestration.store.staging import staging_dir

    wanted = Wanted(
        asset="images", partition=None, code_version="2", params_digest="q", params=second, seed=1, inputs={},
        device_class="any",
    )  # fmt: skip
    with staging_dir(workspace.root, IMAGES) as staged:
        text("a.json", "2")(staged)
        publish(workspace.root, PublishRecord(wanted=wanted), staged, commit_dvc=False)
    found = _texts(why(workspace, IMAGES).then)
    assert found == ["code version 1 → 2", "params changed: images.count 3 → 4", "seed 0 → 1"]


def test_first_making_and_one_for_nothing_are_told_apart(workspace: Workspace) -> None:
    put(workspace, IMAGES, {}, text("a.json"))
    assert _texts(why(workspace, IMAGES).then) == [FIRST]
    put(workspace, IMAGES, {}, text("a.json"))
    assert _texts(why(workspace, IMAGES).then) == [NOTHING]


def test_finished_workspace_stands_until_a_setting_upstream_changes(
    baseline: Workspace, change_params: Callable[..., None]
) -> None:
    assert why(baseline, AssetId("feature_network", "beard")).now == ()
    change_params(baseline, {"original_network.kimg": 0.2})
    (reason,) = why(baseline, AssetId("feature_network", "beard")).now
    assert reason.text == "original_network is made again"
    assert [one.text for one in reason.because] == ["params changed: original_network.kimg 0.1 → 0.2"]


def test_unknown_asset_and_partition_are_mistakes_of_the_user(workspace: Workspace, editloom: Editloom) -> None:
    with pytest.raises(UserError, match="is not declared"):
        why(workspace, AssetId("feature_network"))
    with pytest.raises(UserError, match="has no partitions"):
        why(workspace, AssetId("images", "beard"))
    told = editloom(workspace, "why", "imges")
    assert told.returncode == 2 and "Did you mean 'images'?" in told.stderr
    never = editloom(workspace, "why", "feature_network[beard]")
    assert never.returncode == 0 and "was never made" in never.stdout
