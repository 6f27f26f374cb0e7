"""`editloom materialize`, the command of DVC's stages: `dvc repro` and `editloom run` are one graph."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import StringIO

import dagster as dg
import pytest
from rich.console import Console

from data.errors import UserError
from orchestration.code_versions import version_of
from orchestration.graph import AssetId
from orchestration.materialize import materialize_one
from orchestration.store import dvc, ledger
from orchestration.workspace import Workspace

Editloom = Callable[..., subprocess.CompletedProcess[str]]
STAGE = AssetId("attribute_images", "beard")
CLEAN = "Data and pipelines are up to date."


@pytest.mark.parametrize(
    ("asset", "partition", "version", "expected"),
    [
        ("edit_pair", "beard", None, "edit_pairs"),
        ("edit_pairs", None, None, "one of: slicked_back_hair, short_hair, beard"),
        ("edit_pairs", "bread", None, "bread"),
        ("images", "beard", None, "no partitions"),
        ("images", None, "0", "editloom dvc-yaml"),
    ],
)
def test_stage_that_does_not_exist_is_told_before_anything_is_done(
    workspace: Workspace, asset: str, partition: str | None, version: str | None, expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        materialize_one(workspace, asset, partition, version, Console(file=StringIO()))
    assert expected in str(caught.value)
    assert not (workspace.state / "runs").exists()


def test_dvc_has_nothing_to_do_after_a_run(baseline: Workspace) -> None:
    assert dvc.run_dvc(baseline.root, "status").strip() == CLEAN
    before = len(ledger.entries(baseline.root))
    assert CLEAN in dvc.run_dvc(baseline.root, "repro")
    assert len(ledger.entries(baseline.root)) == before


def test_forced_repro_of_one_stage_makes_the_same_bytes_and_all_agree(baseline: Workspace, editloom: Editloom) -> None:
    before = ledger.entries(baseline.root)
    old = ledger.last_entry(baseline.root, STAGE.asset, STAGE.partition)
    dvc.run_dvc(baseline.root, "repro", "-f", "-s", STAGE.stage)
    (entry,) = ledger.entries(baseline.root)[len(before) :]
    assert old is not None and entry.subject == str(STAGE)
    assert entry.materialization.data_version == old.materialization.data_version
    assert entry.materialization.wanted.code_version == version_of(STAGE.asset)
    assert dvc.locked_md5(baseline.root, STAGE) == entry.materialization.dvc_md5
    assert dvc.run_dvc(baseline.root, "status").strip() == CLEAN
    with baseline.dagster_instance() as instance:
        key = dg.AssetKey(STAGE.asset)
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[str(STAGE.partition)])
        (latest,) = instance.fetch_materializations(wanted, limit=1).records
    assert latest.run_id == entry.materialization.dagster_run != old.materialization.dagster_run
    assert "27 reused" in editloom(baseline, "run").stdout


def test_stage_whose_settings_cannot_be_met_exits_with_2(
    baseline: Workspace, editloom: Editloom, change_params: Callable[..., None]
) -> None:
    change_params(baseline, {"attribute_images.minimum": 5000})
    done = editloom(baseline, "materialize", STAGE.asset, "--partition", str(STAGE.partition))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{STAGE}: Only" in done.stderr and "attribute_images.minimum" in done.stderr
    assert "Traceback" not in done.stderr
