"""Every asset that trains or generates in bulk comes to the same bytes, stopped or killed wherever it is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from data.categories import FACE
from tests.training import resumable
from tests.training.resumable import TRAININGS, AtCall, never, payload
from training.checkpoints import CheckpointFolder
from training.interruption import Interrupted
from training.judges.clip_network import caption_tokens
from training.judges.config import JUDGES, Kind
from training.judges.images import MANIFEST, judge_images
from training.judges.learning import learn
from training.judges.objectives import network_for
from training.judges.pools import Pool, pool_of

# What its fixtures start is dear: one worker of the test session takes them all.
pytestmark = pytest.mark.xdist_group("resume")

# How often each is asked whether to stop, at least: once an iteration, or a batch of candidates.
QUESTIONS = {"original_network": 6, "feature_network": 6, "attribute_editor": 6, "judges": 33, "edit_pairs": 4}

each = pytest.mark.parametrize("name", TRAININGS)


def call_of(name: str, purpose: str) -> int:
    """An arbitrary question, the same in every run of the tests; a signal that comes with it is heard at the next."""
    return random.Random(f"{name} {purpose}").randrange(2, QUESTIONS[name] - 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The payload of every training that nothing disturbed."""
    made = {}
    for name, train in TRAININGS.items():
        folder = tmp_path_factory.mktemp(f"whole-{name}")
        train(folder, never)
        made[name] = payload(folder)
    return made


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each training, killed in a process of its own at an arbitrary question."""
    root = tmp_path_factory.mktemp("killed")
    words = [f"{name}:{call_of(name, 'kill')}" for name in TRAININGS]
    command = [sys.executable, resumable.__file__, str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@each
def test_training_stopped_by_sigterm_resumes_bit_for_bit(
    whole: dict[str, dict[str, bytes]], tmp_path: Path, name: str
) -> None:
    stop = AtCall(call_of(name, "stop"), lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        TRAININGS[name](tmp_path, stop)
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "out" / "judges.json").exists()
    TRAININGS[name](tmp_path, never)
    assert payload(tmp_path) == whole[name]


@each
def test_killed_training_resumes_bit_for_bit(whole: dict[str, dict[str, bytes]], killed: Path, name: str) -> None:
    left = [path for path in (killed / name / "work").rglob("*") if path.is_file()]
    assert left, "the killed training left nothing to go on from"
    TRAININGS[name](killed / name, never)
    assert payload(killed / name) == whole[name]


@pytest.mark.parametrize("name", ["original_network", "attribute_editor", "judges"])
def test_training_resumes_bit_for_bit_from_an_earlier_checkpoint(
    whole: dict[str, dict[str, bytes]], tmp_path: Path, name: str
) -> None:
    """As after a kill between two checkpoints: what came after the last one is done again."""
    calls = 8 if name == "judges" else 4
    asked = iter(range(1, 1000))
    with pytest.raises(Interrupted):
        TRAININGS[name](tmp_path, lambda: next(asked) >= calls)
    checkpoints = sorted((tmp_path / "work" / "checkpoints").rglob("*.safetensors"))
    assert len(checkpoints) == 2
    checkpoints[-1].unlink()
    TRAININGS[name](tmp_path, never)
    assert payload(tmp_path) == whole[name]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Six pictures of three subjects."""
    folder = tmp_path_factory.mktemp("pool")
    judge_images(resumable.JUDGED, folder)
    return pool_of("train", pq.read_table(folder / MANIFEST), resumable.JUDGED, folder / "pool")


@pytest.mark.parametrize("kind", ["attribute", "parser", "identity", "pose", "features", "clip"])
def test_every_kind_of_judge_resumes_bit_for_bit(pool: Pool, tmp_path: Path, kind: Kind) -> None:
    """Stopped after the second of three iterations; its moments and its schedule come back with the weights."""
    spec = next(one for one in JUDGES if one.kind == kind)
    network = network_for(kind, len(FACE.attributes), len(FACE.regions))
    if kind == "clip":
        network = network.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3, "tokens": caption_tokens("face")})
    settings = (spec, network, pool, resumable.JUDGES, FACE, None)
    folder = CheckpointFolder(tmp_path, 3600.0, "me")
    asked = iter(range(1, 9))
    with pytest.raises(Interrupted, match="iteration 2 of 3"):
        learn(*settings, folder, lambda: next(asked) >= 2)
    whole, resumed = learn(*settings), learn(*settings, folder)
    assert whole.keys() == resumed.keys()
    assert [name for name, tensor in whole.items() if not torch.equal(tensor, resumed[name])] == []
