"""The check `independence`: each planted violation is found in the ledger's lineage, and nothing is published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from orchestration.graph import AssetId
from orchestration.independence import INDEPENDENCE, independence_of
from orchestration.store import ledger
from orchestration.store.dvc import cache_dir
from orchestration.tracking import open_tracker
from orchestration.workspace import Workspace
from tests.orchestration.published import ATTRIBUTE, FACES, chain, image_set, judge_set, put

Judges = dict[str, Any]
REPORT = AssetId("attribute_report", ATTRIBUTE)


def same_file(judges: Judges) -> None:
    judges["identity_eval"]["sha256"] = judges["identity_train"]["sha256"]


def shared_ancestor(judges: Judges) -> None:
    judges["identity_eval"]["weight_ancestors"] = [judges["identity_train"]["sha256"]]


def overlapping_subjects(judges: Judges) -> None:
    judges["attribute_eval"]["training_subjects"] = [1_002_000, 1_004_500]


def start_weights_subjects(judges: Judges) -> None:
    judges["pose"]["training_subjects"] = [15_999, 17_000]


def held_out_subjects(judges: Judges) -> None:
    judges["features"]["training_subjects"] = [10_000_000, 10_000_002]


def test_disjoint_lineage_passes(workspace: Workspace) -> None:
    check = independence_of(workspace, chain(workspace))
    assert check.passed, check.summary
    assert check.document["upstream_networks"] == [
        f"edit_pairs[{ATTRIBUTE}]", f"feature_network[{ATTRIBUTE}]", "original_network",
        "the start weights of original_network",
    ]  # fmt: skip
    assert check.document["held_out"] == {"subjects": 5}


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (same_file, "identity_eval and identity_train are the same weights"),
        (shared_ancestor, "identity_eval and identity_train share the weight ancestor"),
        (overlapping_subjects, "both trained on subjects of [1,002,000, 1,002,500)"),
        (start_weights_subjects, "pose was trained on subjects of [15,999, 16,000), which the start weights"),
        (held_out_subjects, "features was trained on held-out subjects renderer:10000000, renderer:10000001"),
    ],
)
def test_judge_that_took_part_is_named(workspace: Workspace, plant: Callable[[Judges], None], says: str) -> None:
    check = independence_of(workspace, chain(workspace, judges=judge_set(plant)))
    assert not check.passed and says in check.summary


def test_training_judge_of_an_earlier_set_still_counts(workspace: Workspace) -> None:
    """The editor learnt from a set that was replaced since; the new set's own judges are apart from each other."""

    def now_judges_what_once_trained(judges: Judges) -> None:
        once = judges["identity_train"]
        judges["identity_eval"] = {**once, "role": "eval"}
        judges["identity_train"] = {**once, "sha256": "9" * 64, "training_subjects": [1_500_000, 1_500_100]}

    inputs = chain(workspace, judges=judge_set(now_judges_what_once_trained))
    check = independence_of(workspace, inputs)
    assert not check.passed and "identity_eval and identity_train are the same weights" in check.summary
    shutil.rmtree(cache_dir(workspace.root))
    check = independence_of(workspace, inputs)
    assert not check.passed and "stands upstream, is no longer here" in check.summary


@pytest.mark.parametrize(
    ("held_out", "says"),
    [
        (
            [("e" * 64, "renderer:10000007", "test")],
            "original_network was trained on held-out subject renderer:10000007",
        ),
        ([(FACES[7][0], "renderer:10000999", "test")], "original_network was trained on 1 held-out images"),
    ],
)
def test_held_out_faces_that_a_network_was_trained_on_are_named(
    workspace: Workspace, held_out: list[tuple[str, str, str]], says: str
) -> None:
    inputs = chain(workspace)
    inputs["aligned_images"] = put(workspace, AssetId("aligned_images"), {}, image_set(held_out))
    check = independence_of(workspace, inputs)
    assert not check.passed and says in check.summary


def test_failed_check_publishes_nothing(workspace: Workspace) -> None:
    from orchestration.assets import ALL_ASSETS  # here: its partitions are those of the current workspace

    chain(workspace, judges=judge_set(same_file))
    before = len(ledger.entries(workspace.root))
    with workspace.dagster_instance() as instance:
        result = dg.materialize(
            ALL_ASSETS,
            selection=dg.AssetSelection.assets(REPORT.asset),
            partition_key=ATTRIBUTE,
            instance=instance,
            raise_on_error=False,
        )
        (check,) = result.get_asset_check_evaluations()
    assert not result.success
    assert (check.check_name, check.passed, check.severity) == (INDEPENDENCE, False, dg.AssetCheckSeverity.ERROR)
    assert "identity_eval and identity_train are the same weights" in str(check.description)
    assert len(ledger.entries(workspace.root)) == before and not (workspace.root / REPORT.path).exists()
    tracker = open_tracker(workspace)
    (run,) = tracker.client.search_runs([tracker.experiment_id], f"tags.`editloom.asset` = '{REPORT.asset}'")
    measured = [name for name in run.data.metrics if not name.startswith("system/")]
    assert run.info.status == "FAILED" and measured == []
