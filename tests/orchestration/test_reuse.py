"""What may be reused, what must run, and the reasons given."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.graph import AssetId, expand
from orchestration.new_workspace import presets
from orchestration.params import load_params
from orchestration.plan import plan, wanted
from orchestration.store import chain, keys, ledger
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord, Wanted
from orchestration.store.reuse import Reuse, Stale, reusable
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace
from tests.orchestration.decided import decide_by_hand, write_policy

IMAGES = AssetId("images")


@pytest.fixture(autouse=True)
def key(tmp_path: Path) -> None:
    """What signs the entries."""
    keys.create(tmp_path)


def put(root: Path, record: Wanted, text: str) -> None:
    """Publish a payload of one file."""
    with staging_dir(root, record.id) as staged:
        (staged / "a.json").write_text(text)
        publish(root, PublishRecord(wanted=record), staged, commit_dvc=False)


def images(**changes: object) -> Wanted:
    fields: dict[str, object] = {
        "asset": "images",
        "partition": None,
        "code_version": "1",
        "params_digest": "p",
        "params": {"images": {"count": 3}},
        "seed": 0,
        "inputs": {"x": "v1"},
        "device_class": "any",
    }
    return Wanted.model_validate(fields | changes)


def reasons(root: Path, wanted_: Wanted) -> tuple[str, ...]:
    found = reusable(root, wanted_)
    assert isinstance(found, Stale)
    return found.reasons


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code_version": "2"}, "code version 1 → 2"),
        ({"params_digest": "q", "params": {"images": {"count": 4}}}, "params changed: images.count 3 → 4"),
        ({"seed": 1}, "seed 0 → 1"),
        ({"inputs": {"x": "v2"}}, "x changed"),
        ({"inputs": {"x": "v1", "y": "v1"}}, "y is a new input"),
        ({"inputs": {}}, "x is no input any more"),
        ({"device_class": "cuda/H200"}, "device class any → cuda/H200"),
    ],
)
def test_each_difference_is_stale_and_named(tmp_path: Path, changes: Mapping[str, object], reason: str) -> None:
    put(tmp_path, images(), "one")
    assert isinstance(reusable(tmp_path, images()), Reuse)
    assert reasons(tmp_path, images(**changes)) == (reason,)


def test_input_read_by_a_part_counts_by_that_part(tmp_path: Path) -> None:
    """A held-out image that goes changes the image set, and nothing of what trains on it."""
    put(tmp_path, images(parts={"x": "train root"}), "one")
    assert isinstance(reusable(tmp_path, images(inputs={"x": "v2"}, parts={"x": "train root"})), Reuse)
    assert reasons(tmp_path, images(inputs={"x": "v2"}, parts={"x": "another"})) == ("x changed",)
    assert reasons(tmp_path, images(inputs={"x": "v2"})) == ("x changed",)


def test_reuse_is_an_entry_with_the_inputs_that_stand_now(tmp_path: Path) -> None:
    put(tmp_path, images(parts={"x": "train root"}), "one")
    entry = ledger.entries(tmp_path)[0]
    assert ledger.confirmed(tmp_path, entry) == entry
    for _ in range(2):  # told again after a crash
        ledger.record_reuse(tmp_path, [(entry, {"x": "v2"})], "run 1")
    said = ledger.entries(tmp_path, kind=ledger.REUSE)
    assert [one.body["inputs"] for one in said] == [{"x": "v2"}]
    assert ledger.confirmed(tmp_path, entry).materialization.wanted.inputs == {"x": "v2"}
    assert chain.verify_chain(tmp_path) == []


def test_asset_that_was_never_made_is_stale(tmp_path: Path) -> None:
    assert reasons(tmp_path, images()) == ("never made",)


def test_changed_or_missing_bytes_are_stale(tmp_path: Path) -> None:
    put(tmp_path, images(), "one")
    file = tmp_path / IMAGES.path / "a.json"
    file.write_text("two!")
    assert reasons(tmp_path, images()) == ("its payload was changed by hand",)
    file.unlink()
    file.parent.rmdir()
    assert reasons(tmp_path, images()) == ("its payload is missing",)


def test_touched_file_with_the_same_bytes_is_reused(tmp_path: Path) -> None:
    put(tmp_path, images(), "one")
    (tmp_path / IMAGES.path / "a.json").write_text("one")
    assert isinstance(reusable(tmp_path, images()), Reuse)


def test_verifying_finds_bytes_that_changed_behind_the_clock(tmp_path: Path) -> None:
    """Same size and time: only hashing tells."""
    put(tmp_path, images(), "one")
    file = tmp_path / IMAGES.path / "a.json"
    stat = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert isinstance(reusable(tmp_path, images()), Reuse)
    assert isinstance(reusable(tmp_path, images(), verify_bytes=True), Stale)


def workspace(root: Path) -> Workspace:
    """A workspace of the smoke preset without repositories: planning needs none."""
    (root / "params.yaml").write_text(presets()["smoke"].read_text())
    ws = Workspace.at(root)
    write_policy(ws)
    return ws


def make_all(ws: Workspace) -> list[AssetId]:
    params = ws.params()
    ids = expand(list(params.attributes))
    for asset_id in ids:
        put(ws.root, wanted(ws, params, asset_id), f"{asset_id}")
        decide_by_hand(ws, asset_id)
    return ids


def actions(ws: Workspace, ids: list[AssetId]) -> dict[str, str]:
    return {str(item.id): item.action for item in plan(ws, ws.params(), ids)}


def test_finished_graph_is_reused_and_planned_within_a_second(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    ids = make_all(ws)
    params = load_params(ws.params_file)
    started = time.perf_counter()
    items = plan(ws, params, ids)
    seconds = time.perf_counter() - started
    assert {item.action for item in items} == {"reuse"}
    assert seconds < 1.0


def test_change_far_up_leaves_the_rest_to_the_bytes(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    ids = make_all(ws)
    ws.params_file.write_text(ws.params_file.read_text().replace("\nseed: ", "\nseed: 1"))
    found = actions(ws, ids)
    assert found["images"] == "run"
    assert found["aligned_images"] == "maybe"
    assert found["judges"] == found["judge_images"] == "reuse"


def test_new_attribute_runs_only_its_own_chain(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    ids = make_all(ws)
    text = ws.params_file.read_text()
    ws.params_file.write_text(text.replace("\nattributes:\n", "\nattributes:\n  open_mouth: {}\n"))
    found = actions(ws, [*ids, *(i for i in expand(["open_mouth"]) if i.partition)])
    assert all(action == ("run" if "[open_mouth]" in name else "reuse") for name, action in found.items())
    assert sum(action == "run" for action in found.values()) == 7


def test_selection_without_its_inputs_says_what_to_select(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    with pytest.raises(UserError, match=r"aligned_images is made from images, which was never made.*\+aligned_images"):
        plan(ws, ws.params(), [AssetId("aligned_images")])
    assert ledger.entries(ws.root) == []


def test_planning_imports_no_torch() -> None:
    code = "import sys, orchestration.plan, orchestration.store.publish, orchestration.store.lockfile; "
    code += "print(sorted({'torch', 'dagster', 'mlflow', 'dvc'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
