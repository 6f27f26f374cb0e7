"""Files of the user's that params.yaml names: changed bytes make what reads them run again, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.graph import AssetId, expand
from orchestration.new_workspace import presets
from orchestration.outside_files import outside_files, place
from orchestration.plan import plan, wanted
from orchestration.store import keys
from orchestration.store.publish import publish
from orchestration.store.records import PublishRecord
from orchestration.store.staging import staging_dir
from orchestration.workspace import Workspace
from tests.orchestration.decided import decide_by_hand, write_policy

PAIRS = AssetId("edit_pairs", "beard")
ChangeParams = Callable[[Workspace, dict[str, object]], None]


@pytest.fixture
def made(tmp_path: Path, change_params: ChangeParams) -> Workspace:
    """A workspace without repositories whose pairs' masks come from the user's module; every asset is made."""
    (tmp_path / "params.yaml").write_text(presets()["smoke"].read_text())
    (tmp_path / "my_masks.py").write_text("def mask(images):\n    return images[:, :1] * 0\n")
    keys.create(tmp_path)
    ws = Workspace.at(tmp_path)
    write_policy(ws)
    change_params(ws, {"edit_pairs.mask.source": "python", "edit_pairs.mask.entry_point": "my_masks:mask"})
    for asset_id in expand(list(ws.params().attributes)):
        record = wanted(ws, ws.params(), asset_id)
        with staging_dir(ws.root, asset_id) as staged:
            (staged / "a.json").write_text(str(asset_id))
            publish(ws.root, PublishRecord(wanted=record), staged, commit_dvc=False)
        decide_by_hand(ws, asset_id)
    return ws


def runs(ws: Workspace) -> dict[str, tuple[str, ...]]:
    items = plan(ws, ws.params(), expand(list(ws.params().attributes)))
    return {str(item.id): item.reasons for item in items if item.action == "run"}


def test_editing_the_users_module_runs_the_pairs_again(made: Workspace) -> None:
    assert runs(made) == {}
    (made.root / "my_masks.py").write_text("def mask(images):\n    return images[:, :1] * 0 + 1\n")
    attributes = made.params().attributes
    masked = [f"{asset}[{name}]" for asset in ("edit_pairs", "fusion_report") for name in attributes]
    assert runs(made) == {name: ("module:my_masks changed",) for name in masked}


def test_onnx_file_counts_by_its_bytes(made: Workspace, change_params: ChangeParams) -> None:
    change_params(made, {"edit_pairs.mask.source": "onnx", "edit_pairs.mask.onnx.path": "parser.onnx"})
    (made.root / "parser.onnx").write_bytes(b"one")
    first = outside_files(made.root, made.params(), PAIRS)
    (made.root / "parser.onnx").write_bytes(b"two!")
    again = outside_files(made.root, made.params(), PAIRS)
    assert first.keys() == again.keys() == {"file:parser.onnx"}
    assert first != again


def test_one_attributes_own_source_counts_for_it_alone(made: Workspace, change_params: ChangeParams) -> None:
    change_params(made, {"edit_pairs.mask.source": "judge"})
    own = {"edit_pairs": {"mask": {"source": "python"}}}
    change_params(made, {"attributes.beard": own, "attributes.glasses": {}})
    assert outside_files(made.root, made.params(), PAIRS).keys() == {"module:my_masks"}
    assert outside_files(made.root, made.params(), AssetId("edit_pairs", "glasses")) == {}


def test_missing_file_is_told_when_planning(made: Workspace) -> None:
    (made.root / "my_masks.py").unlink()
    with pytest.raises(UserError, match=r"edit_pairs\.mask\.entry_point: there is no module 'my_masks'"):
        runs(made)


def test_judge_and_other_assets_read_no_file(made: Workspace, change_params: ChangeParams) -> None:
    assert outside_files(made.root, made.params(), AssetId("images")) == {}
    change_params(made, {"edit_pairs.mask.source": "judge"})
    assert outside_files(made.root, made.params(), PAIRS) == {}


def test_place_of_an_input_is_a_path_that_a_person_finds() -> None:
    assert place("judges") == "artifacts/judges"
    assert place("edit_pairs[beard]") == "artifacts/edit_pairs/beard"
    assert place("file:masks/parser.onnx") == "masks/parser.onnx"
    assert place("module:my_masks") == "my_masks"
