"""Checkpoints come back as they were, and nothing but data goes in."""

from pathlib import Path

import pytest
import torch

from data.errors import UserError
from training.checkpoint_io import SafetensorsCheckpointIO

STATE = {
    "iteration": 12,
    "p": 0.1,
    "optimizer": {"state": {0: {"exp_avg": torch.arange(6.0).reshape(2, 3)}}, "param_groups": [{"betas": (0.0, 0.99)}]},
    "half": torch.ones(3, dtype=torch.bfloat16),
    "none": None,
}


def test_state_comes_back_with_its_types(tmp_path: Path) -> None:
    plugin, path = SafetensorsCheckpointIO(), tmp_path / "folder" / "000012.safetensors"
    plugin.save_checkpoint(STATE, path)
    state = plugin.load_checkpoint(path)
    assert state["iteration"] == 12 and state["p"] == 0.1 and state["none"] is None
    assert torch.equal(state["optimizer"]["state"][0]["exp_avg"], STATE["optimizer"]["state"][0]["exp_avg"])
    assert state["optimizer"]["param_groups"][0]["betas"] == (0.0, 0.99)
    assert state["half"].dtype == torch.bfloat16
    assert [file.name for file in path.parent.iterdir()] == [path.name], "no half-written file may stay"


def test_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        SafetensorsCheckpointIO().save_checkpoint(STATE, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_only_a_pickle_could_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not PosixPath"):
        SafetensorsCheckpointIO().save_checkpoint({"path": Path("x")}, tmp_path / "a")


def test_cut_or_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    SafetensorsCheckpointIO().save_checkpoint(STATE, path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"cut\.safetensors"):
        SafetensorsCheckpointIO().load_checkpoint(path)
