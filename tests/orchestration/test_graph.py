"""The graph's edges, ids and selections."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.graph import (
    GRAPH,
    AssetId,
    chosen_partitions,
    downstream,
    expand,
    inputs_of,
    select,
    upstream,
)
from orchestration.params import parse_params, resolve
from orchestration.workspace import Workspace


def test_every_asset_stands_after_its_inputs() -> None:
    order = list(GRAPH)
    for node in GRAPH.values():
        assert all(order.index(dep) < order.index(node.name) for dep in node.deps)


def test_unpartitioned_asset_never_hangs_on_a_partition() -> None:
    for node in GRAPH.values():
        if not node.partition:
            assert not any(GRAPH[dep].partition for dep in node.deps)


def test_judges_and_images_share_no_ancestor() -> None:
    assert not set(upstream("judges")) & {"images", *upstream("aligned_images")}


def test_every_params_key_of_the_graph_exists(tmp_path: Path) -> None:
    params = Workspace.new(tmp_path / "ws", "smoke").params()
    partition = next(iter(params.attributes))
    for node in GRAPH.values():
        assert set(resolve(params, node.params, partition)) == set(node.params_of(partition))
    assert parse_params(params.model_dump(mode="json")) == params


def test_selection_follows_edges_both_ways_in_graph_order() -> None:
    after_pairs = ("attribute_editor", "attribute_report", "fusion_report", "attribute_release")
    assert select("edit_pairs+") == ("edit_pairs", *after_pairs)
    assert select("+original_network") == ("images", "aligned_images", "original_network")
    assert select("judges, images") == ("judges", "images") == select("images,judges,images")
    assert set(select("+edit_pairs+")) == {"edit_pairs", *upstream("edit_pairs"), *downstream("edit_pairs")}
    assert select(None) == select("*") == tuple(GRAPH)


def test_unknown_asset_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'edit_pair'\. Did you mean 'edit_pairs'\?"):
        select("images,+edit_pair")
    with pytest.raises(UserError, match=r"'glases' in params\.yaml\. Did you mean 'glasses'\?"):
        chosen_partitions(["beard", "glasses"], ["glases"])


def test_partitions_meet_only_their_own_inputs() -> None:
    assert inputs_of(AssetId("edit_pairs", "beard")) == (
        AssetId("original_network"),
        AssetId("feature_network", "beard"),
        AssetId("judges"),
        AssetId("attribute_images", "beard"),
    )
    ids = expand(["beard", "glasses"], ["attribute_editor", "judges"])
    assert list(map(str, ids)) == ["judges", "attribute_editor[beard]", "attribute_editor[glasses]"]


@pytest.mark.parametrize("asset_id", [AssetId("images"), AssetId("edit_pairs", "beard")])
def test_id_reads_back_what_it_writes(asset_id: AssetId) -> None:
    assert AssetId.parse(str(asset_id)) == asset_id
