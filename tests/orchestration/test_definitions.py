"""What Dagster is shown is the graph, with all that its pages need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.code_versions import version_of
from orchestration.compute.admission import POOL
from orchestration.compute_sections import Compute
from orchestration.graph import GRAPH
from orchestration.workspace import VARIABLE, Workspace


@pytest.fixture(scope="module")
def definitions(empty_workspace: Path) -> Iterator[dg.Definitions]:
    """The code location as Dagster loads it: its partitions come from the current workspace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(empty_workspace))
        from orchestration.definitions import defs

        yield defs


@pytest.fixture(scope="module")
def assets(definitions: dg.Definitions) -> dict[str, dg.AssetsDefinition]:
    found = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    return {asset.key.to_user_string(): asset for asset in found}


def test_code_location_loads(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_dagster_shows_exactly_the_graphs_assets(assets: dict[str, dg.AssetsDefinition]) -> None:
    assert list(assets) == list(GRAPH)


@pytest.mark.parametrize("name", GRAPH)
def test_asset_has_what_its_page_shows(assets: dict[str, dg.AssetsDefinition], name: str) -> None:
    node, (spec,) = GRAPH[name], assets[name].specs
    assert spec.group_name == node.group and spec.description == node.description
    assert list(spec.owners) == [node.owner] and spec.kinds == set(node.kinds)
    assert spec.code_version == version_of(name)
    assert node.group and node.description.endswith(".") and node.kinds and node.owner


@pytest.mark.parametrize("name", GRAPH)
def test_dagsters_edges_are_the_graphs(assets: dict[str, dg.AssetsDefinition], name: str) -> None:
    (spec,) = assets[name].specs
    assert sorted(dep.asset_key.to_user_string() for dep in spec.deps) == sorted(GRAPH[name].deps)


@pytest.mark.parametrize("name", GRAPH)
def test_checks_block_and_bulk_steps_wait_for_a_device(assets: dict[str, dg.AssetsDefinition], name: str) -> None:
    assert all(check.blocking for check in assets[name].check_specs)
    assert assets[name].op.pool == (POOL if GRAPH[name].device else None)


@pytest.mark.parametrize("name", GRAPH)
def test_bulk_step_is_tried_again_with_growing_waits(assets: dict[str, dg.AssetsDefinition], name: str) -> None:
    policy = assets[name].op.retry_policy
    assert (policy is not None) == GRAPH[name].device
    if policy is not None:
        assert (policy.max_retries, policy.backoff) == (Compute().retries, dg.Backoff.EXPONENTIAL)
        assert policy.jitter is not None and policy.delay == Compute().retry_delay_s


def test_image_sets_and_judges_are_checked(assets: dict[str, dg.AssetsDefinition]) -> None:
    checked = {name: [check.name for check in asset.check_specs] for name, asset in assets.items()}
    for name in ("images", "aligned_images", "attribute_images"):
        assert checked[name] == ["expectations"]
    assert checked["judges"] == ["lineage"]


def test_partitions_are_the_attributes_of_params(assets: dict[str, dg.AssetsDefinition], empty_workspace: Path) -> None:
    attributes = list(Workspace.at(empty_workspace).params().attributes)
    for name, asset in assets.items():
        keys = asset.partitions_def.get_partition_keys() if asset.partitions_def else None
        assert keys == (attributes if GRAPH[name].partition else None)
