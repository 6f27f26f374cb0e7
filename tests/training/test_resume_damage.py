"""A checkpoint that is cut short or has flipped bits is not believed; the training goes on from one that is whole."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from data.errors import UserError
from tests.training.resumable import TRAININGS, never, payload
from training.checkpoint_io import DamagedCheckpointError, SafetensorsCheckpointIO
from training.checkpoints import CheckpointFolder
from training.interruption import Interrupted
from training.pair_chunks import is_whole


def flip(path: Path, place: int) -> None:
    """Turn one bit round; a negative place counts from the end."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def cut(path: Path, place: int) -> None:
    path.write_bytes(path.read_bytes()[:place])


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """An original network after four of its six iterations, with two checkpoints."""
    asked = iter(range(1, 1000))
    with pytest.raises(Interrupted):
        TRAININGS["original_network"](tmp_path, lambda: next(asked) >= 4)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    TRAININGS["original_network"](folder, never)
    return payload(folder)


@pytest.mark.parametrize("place", [-1, -5000, 200], ids=["last byte", "a weight", "the state's text"])
def test_flipped_bit_is_noticed(stopped: Path, place: int) -> None:
    path = stopped / "work" / "checkpoints" / "000000004.safetensors"
    flip(path, place)
    with pytest.raises(DamagedCheckpointError, match=r"000000004\.safetensors"):
        SafetensorsCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize("damage", [flip, cut])
def test_damaged_checkpoint_gives_way_to_the_one_before(
    stopped: Path, whole: dict[str, bytes], damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(damage)
    damage(stopped / "work" / "checkpoints" / "000000004.safetensors", -100)
    with caplog.at_level(logging.WARNING):
        TRAININGS["original_network"](stopped, never)
    assert "000000004.safetensors" in caplog.text and "an earlier one taken" in caplog.text
    assert "begins anew" not in caplog.text
    assert payload(stopped) == whole


def test_training_without_a_whole_checkpoint_begins_anew(
    stopped: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    for path in (stopped / "work" / "checkpoints").iterdir():
        flip(path, -100)
    with caplog.at_level(logging.WARNING):
        TRAININGS["original_network"](stopped, never)
    assert "begins anew" in caplog.text
    assert payload(stopped) == whole


def test_part_of_a_killed_write_is_removed_by_the_next_one(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, 0.0, "me")
    (tmp_path / "000000001.safetensors.part").write_bytes(b"cut off")
    folder.write(2, {"iteration": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["000000002.safetensors"]


def test_checkpoint_of_another_training_is_refused_and_kept(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path, 0.0, "me").write(2, {"iteration": 2})
    with pytest.raises(UserError, match="another folder"):
        CheckpointFolder(tmp_path, 0.0, "somebody else").latest()
    assert CheckpointFolder(tmp_path, 0.0, "me").latest() == {"iteration": 2}


@pytest.mark.parametrize("damage", [flip, cut])
def test_damaged_pairs_are_made_again(tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(damage)
    TRAININGS["edit_pairs"](tmp_path / "whole", never)
    asked = iter(range(1, 1000))
    with pytest.raises(Interrupted):
        TRAININGS["edit_pairs"](tmp_path / "parts", lambda: next(asked) >= 4)
    (chunk,) = (tmp_path / "parts" / "work" / "chunks").glob("*.tar")
    assert is_whole(chunk)
    damage(chunk, chunk.stat().st_size // 2)
    assert not is_whole(chunk)
    with caplog.at_level(logging.WARNING):
        TRAININGS["edit_pairs"](tmp_path / "parts", never)
    assert "its pairs are made again" in caplog.text
    assert payload(tmp_path / "parts") == payload(tmp_path / "whole")
