"""What Dagster shows of versions and lineage is what the ledger says, edge by edge."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG, get_input_data_version_tag

from orchestration.graph import GRAPH, AssetId, inputs_of
from orchestration.outside_files import FILE, FOLDER, MODULE
from orchestration.store import ledger
from orchestration.store.records import Materialization
from orchestration.workspace import VARIABLE, Workspace

Events = Mapping[AssetId, dg.AssetMaterialization]
CODE_VERSION_TAG = "dagster/code_version"


@pytest.fixture(scope="module")
def made(finished: Workspace) -> dict[AssetId, Materialization]:
    """What the ledger says of each asset."""
    found = (entry.materialization for entry in ledger.entries(finished.root, kind=ledger.MATERIALIZATION))
    return {one.wanted.id: one for one in found}


@pytest.fixture(scope="module")
def events(finished: Workspace, made: Mapping[AssetId, Materialization]) -> Iterator[Events]:
    """Dagster's newest materialization of each asset or partition."""
    with pytest.MonkeyPatch.context() as patch, finished.dagster_instance() as instance:
        patch.setenv(VARIABLE, str(finished.root))
        yield {asset_id: _newest(instance, asset_id) for asset_id in made}


def _newest(instance: dg.DagsterInstance, asset_id: AssetId) -> dg.AssetMaterialization:
    partitions = [asset_id.partition] if asset_id.partition else None
    wanted = dg.AssetRecordsFilter(dg.AssetKey(asset_id.asset), asset_partitions=partitions)
    (record,) = instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    return record.asset_materialization


def test_data_and_code_versions_are_the_ledgers(made: Mapping[AssetId, Materialization], events: Events) -> None:
    assert len(made) > len(GRAPH)
    for asset_id, one in made.items():
        tags = events[asset_id].tags or {}
        assert tags[DATA_VERSION_TAG] == one.data_version, str(asset_id)
        assert tags[CODE_VERSION_TAG] == one.wanted.code_version, str(asset_id)


def test_upstream_versions_are_the_ledgers_inputs(made: Mapping[AssetId, Materialization], events: Events) -> None:
    """Of a partitioned input Dagster keeps one digest over the partitions it depends on, here of the one version."""
    edges = 0
    for asset_id, one in made.items():
        tags = events[asset_id].tags or {}
        for source in inputs_of(asset_id):
            version, told = one.wanted.inputs[str(source)], tags[get_input_data_version_tag(dg.AssetKey(source.asset))]
            assert told == (hashlib.sha256(version.encode()).hexdigest() if source.partition else version), str(source)
            assert (events[source].tags or {})[DATA_VERSION_TAG] == version, f"{source} → {asset_id}"
            edges += 1
        assert len([tag for tag in tags if tag.startswith("dagster/input_data_version/")]) == len(inputs_of(asset_id))
    assert edges == sum(len(inputs_of(asset_id)) for asset_id in made)


def test_page_names_every_input_as_the_ledger_does(made: Mapping[AssetId, Materialization], events: Events) -> None:
    for asset_id, one in made.items():
        shown = events[asset_id].metadata["inputs"].value
        assert shown == dict(one.wanted.inputs), str(asset_id)


def test_ledgers_edges_are_dagsters_edges(finished: Workspace, made: Mapping[AssetId, Materialization]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(finished.root))
        from orchestration.definitions import defs
    graph = defs.resolve_asset_graph()
    for asset_id, one in made.items():
        parents = {key.to_user_string() for key in graph.get(dg.AssetKey(asset_id.asset)).parent_keys}
        # A setting is a file of git's, no asset: it stands among the ledger's inputs, and in Dagster's metadata.
        named = {AssetId.parse(name).asset for name in one.wanted.inputs if not name.startswith((FILE, MODULE, FOLDER))}
        assert named == parents, str(asset_id)
