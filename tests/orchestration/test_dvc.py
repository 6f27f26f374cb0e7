"""DVC and the ledger agree, in a real DVC repository."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from data.fail_points import VARIABLE
from orchestration import dvc_yaml
from orchestration.graph import AssetId, expand
from orchestration.plan import plan, wanted
from orchestration.store import dvc, ledger
from orchestration.store.lockfile import sync
from orchestration.store.payload import digest_payload
from orchestration.store.publish import publish, recover
from orchestration.store.records import PublishRecord
from orchestration.store.reuse import Reuse, restore, reusable
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace

STUB = """#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_dvc import make
from orchestration.graph import AssetId
from orchestration.workspace import Workspace
assert sys.argv[1] == "materialize", sys.argv
partition = sys.argv[4] if sys.argv[3] == "--partition" else None
make(Workspace.at(Path.cwd()), AssetId(sys.argv[2], partition))
"""


def make(ws: Workspace, asset_id: AssetId, text: str = "", *, commit_dvc: bool = True) -> None:
    """Publish two small files; under `dvc repro` too, where this is the stage's command."""
    record = PublishRecord(wanted=wanted(ws, ws.params(), asset_id))
    with staging_dir(ws.root, asset_id) as staged:
        (staged / "shards").mkdir()
        (staged / "a.json").write_text(text or f"{asset_id}")
        (staged / "shards" / "00.tar").write_bytes(b"x" * 10)
        publish(ws.root, record, staged, commit_dvc=commit_dvc)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of one attribute in which the whole graph was published, DVC brought up at the end."""
    ws = Workspace.new(tmp_path_factory.mktemp("dvc") / "ws", "smoke")
    document = yaml.safe_load(ws.params_file.read_text())
    document["attributes"] = {"beard": {}}
    ws.params_file.write_text(yaml.safe_dump(document, sort_keys=False))
    assert dvc_yaml.write(ws.root, ws.params())
    for asset_id in expand(list(ws.params().attributes)):
        make(ws, asset_id, commit_dvc=False)
    assert len(sync(ws.root, ws.params())) == len(expand(list(ws.params().attributes)))
    return ws.root


@pytest.fixture
def ws(finished: Path, tmp_path: Path) -> Workspace:
    """A clone of the finished workspace; file times are kept, so that nothing is hashed again."""
    return Workspace.at(shutil.copytree(finished, tmp_path / "ws", symlinks=True))


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `editloom` on PATH whose `materialize` publishes by `make`."""
    script = tmp_path / "bin" / "editloom"
    script.parent.mkdir()
    script.write_text(STUB.format(python=sys.executable, tests=str(Path(__file__).parent)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")


def status(ws: Workspace) -> str:
    return dvc.run_dvc(ws.root, "status").strip()


def test_status_is_clean_after_a_run_and_sync_finds_nothing(ws: Workspace) -> None:
    assert status(ws) == "Data and pipelines are up to date."
    assert sync(ws.root, ws.params()) == []
    assert "up to date" in dvc.run_dvc(ws.root, "repro")


def test_md5_in_the_ledger_is_the_one_dvc_computes(ws: Workspace) -> None:
    for entry in ledger.entries(ws.root):
        made = entry.materialization
        assert dvc.locked_md5(ws.root, made.wanted.id) == made.dvc_md5


def test_published_asset_is_committed_at_once(ws: Workspace) -> None:
    make(ws, AssetId("images"), "other")
    last = ledger.last_entry(ws.root, "images")
    assert last is not None
    assert dvc.locked_md5(ws.root, AssetId("images")) == last.materialization.dvc_md5


def test_forced_repro_of_one_stage_publishes_and_stays_clean(ws: Workspace, stub: None) -> None:
    before = len(ledger.entries(ws.root))
    partition = next(iter(ws.params().attributes))
    for asset_id in (AssetId("images"), AssetId("edit_pairs", partition)):
        dvc.run_dvc(ws.root, "repro", "-f", "-s", asset_id.stage)
    assert len(ledger.entries(ws.root)) == before + 2
    assert status(ws) == "Data and pipelines are up to date."


def test_repro_runs_what_a_changed_param_makes_stale(ws: Workspace, stub: None) -> None:
    text = ws.params_file.read_text()
    ws.params_file.write_text(text.replace("seed: ", "seed: 1", 1))
    dvc.run_dvc(ws.root, "repro", "images")
    assert [entry.subject for entry in ledger.entries(ws.root)][-1] == "images"
    assert ledger.entries(ws.root)[-1].materialization.wanted.seed == ws.params().seed


def test_override_of_one_asset_leaves_status_clean_once_it_ran(ws: Workspace) -> None:
    """DVC compares an attribute's settings as one, the ledger per asset: `sync` settles the difference."""
    attribute = next(iter(ws.params().attributes))
    write_override(ws, attribute)
    ids = expand([attribute])
    run = [item.id for item in plan(ws, ws.params(), ids) if item.action == "run"]
    assert run == [AssetId("attribute_editor", attribute)]
    make(ws, run[0])
    assert "feature_network" in status(ws)
    assert AssetId("feature_network", attribute) in sync(ws.root, ws.params())
    assert status(ws) == "Data and pipelines are up to date."


def write_override(ws: Workspace, attribute: str) -> None:
    document = yaml.safe_load(ws.params_file.read_text())
    own = document["attributes"][attribute] or {}
    own["attribute_editor"] = {**own.get("attribute_editor", {}), "batch_size": 3}
    document["attributes"][attribute] = own
    ws.params_file.write_text(yaml.safe_dump(document, sort_keys=False))


def test_removed_payload_comes_back_from_the_cache(ws: Workspace) -> None:
    want = wanted(ws, ws.params(), AssetId("images"))
    shutil.rmtree(ws.root / AssetId("images").path)
    found = reusable(ws.root, want)
    assert isinstance(found, Reuse) and found.fetch
    assert restore(ws.root, found.entry)
    assert digest_payload(ws.root / AssetId("images").path).root == found.data_version


def test_removed_payload_comes_back_from_the_remote(ws: Workspace) -> None:
    dvc.run_dvc(ws.root, "push", "-q")
    shutil.rmtree(dvc.cache_dir(ws.root))
    shutil.rmtree(ws.root / AssetId("images").path)
    found = reusable(ws.root, wanted(ws, ws.params(), AssetId("images")))
    assert isinstance(found, Reuse) and restore(ws.root, found.entry)


def test_refusal_is_told_in_dvcs_own_words(ws: Workspace) -> None:
    with pytest.raises(dvc.DvcError, match="no_such_stage"):
        dvc.commit(ws.root, ["no_such_stage"])


def test_two_writers_wait_for_each_other(ws: Workspace) -> None:
    code = "import sys; from pathlib import Path; from orchestration.store import dvc; "
    code += f"dvc.commit(Path({str(ws.root)!r}), [sys.argv[1]])"
    writers = [subprocess.Popen([sys.executable, "-c", code, stage]) for stage in ("images", "judges")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]


def test_crash_before_dvc_was_told_is_made_good(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_dvc import *; "
    code += f"make(Workspace.at(Path({str(ws.root)!r})), AssetId('judge_images'), 'other')"
    monkeypatch.setenv(VARIABLE, "payload-swapped")
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    monkeypatch.delenv(VARIABLE)
    assert "judge_images" in status(ws)
    assert recover(ws.root) == [AssetId("judge_images")]
    (last,) = ledger.entries(ws.root, "judge_images")[-1:]
    assert dvc.locked_md5(ws.root, AssetId("judge_images")) == last.materialization.dvc_md5


def test_writer_killed_while_dvc_wrote_its_lock_file_leaves_it_whole(ws: Workspace) -> None:
    """What such a death leaves: the copy that was made before, and the beginning of the new file."""
    lock_file, copy = ws.root / "dvc.lock", ws.root / dvc.KEPT_LOCK_FILE
    before = lock_file.read_text()
    copy.write_text(before)
    lock_file.write_text(before[: len(before) // 2])
    recover(ws.root)
    assert lock_file.read_text() == before and not copy.exists()
    assert sync(ws.root, ws.params()) == []


def test_writer_killed_at_another_moment_loses_nothing(ws: Workspace) -> None:
    """Its copy is of before, or is itself cut off; the lock file is whole."""
    lock_file, copy = ws.root / "dvc.lock", ws.root / dvc.KEPT_LOCK_FILE
    whole = lock_file.read_text()
    for left in (whole.replace("size: ", "size: 1"), whole[: len(whole) // 2], ""):
        copy.write_text(left)
        recover(ws.root)
        assert lock_file.read_text() == whole and not copy.exists()


def test_locks_that_a_killed_process_left_half_written_hold_nobody_up(ws: Workspace) -> None:
    (ws.root / ".dvc" / "tmp" / "rwlock").write_text('{"read": {"')
    dvc.commit(ws.root, ["images"])
    assert status(ws) == "Data and pipelines are up to date."


def test_dvc_yaml_that_is_out_of_date_is_told(ws: Workspace) -> None:
    params = ws.params()
    dvc_yaml.check(ws.root, params)
    (ws.root / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(UserError, match=r"dvc\.yaml is out of date"):
        dvc_yaml.check(ws.root, params)
    assert dvc_yaml.write(ws.root, params)
    assert not dvc_yaml.write(ws.root, params)


def test_every_edge_of_the_graph_stands_in_dvc_yaml(ws: Workspace) -> None:
    from orchestration.graph import GRAPH, inputs_of

    for asset_id, stage in dvc_yaml.stages(ws.params()).items():
        settings = GRAPH[asset_id.asset].settings
        assert stage["deps"] == [*(dep.path.as_posix() for dep in inputs_of(asset_id)), *settings]
        assert "--code-version" in stage["cmd"]


def test_combined_attribute_is_a_stage_a_folder_and_comes_back_from_the_cache(tmp_path: Path) -> None:
    ws = Workspace.new(tmp_path / "ws", "smoke")
    document = yaml.safe_load(ws.params_file.read_text())
    document["attributes"] = {"beard+smile": {}}
    ws.params_file.write_text(yaml.safe_dump(document, sort_keys=False))
    assert dvc_yaml.write(ws.root, ws.params())
    asset_id = AssetId("attribute_images", "beard+smile")
    for one in (AssetId("images"), AssetId("aligned_images"), asset_id):
        make(ws, one)
    shutil.rmtree(ws.root / asset_id.path)
    assert dvc.checkout(ws.root, asset_id.stage)
    assert (ws.root / "artifacts" / "attribute_images" / "beard+smile" / "a.json").read_text() == str(asset_id)
    assert AssetId.parse(str(asset_id)) == asset_id
