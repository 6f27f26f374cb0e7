"""Over two processes a training is the one of a single process, stops and resumes as one, and no death makes it hang.

Real processes on the CPU (gloo), in float64. Tolerance: sums of a batch in two halves round otherwise than in one, by
1e-16; Adam divides a gradient by its own size, so that 20 iterations of a small network make about 1e-12 of it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray

from data.errors import UserError
from tests.training.shared_training import (
    EDITOR,
    GAN,
    ITERATIONS,
    largest_difference,
    last_state,
    other_ranks,
    training_images,
    training_pairs,
)
from training.distributed.group import RankDiedError
from training.distributed.ranks import SOLO, PartialDraws, Ranks, RanksDifferError
from training.draws import Purpose, draw
from training.editor.train import train_editor
from training.gan_batches import GanBatches
from training.gan_module import GanModule
from training.gan_training import GanResult, train_gan
from training.judges import load_judges
from training.judges.shipped import shipped_judges_dir
from training.progress import Progress

# What its fixtures start is dear: one worker of the test session takes them all.
pytestmark = pytest.mark.xdist_group("distributed")

TOLERANCE = 1e-9
NOTICED_S = 60.0  # at once here; so long on a machine that has much else to do


@pytest.fixture(autouse=True)
def every_iteration_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.gan_callbacks.REPORT_EVERY_S", 0.0)
    monkeypatch.setattr("training.editor.train.REPORT_EVERY_S", 0.0)


def gan(workdir: Path, devices: int, **more: Any) -> GanResult:
    return train_gan(more.pop("config", GAN), training_images(), workdir, devices=devices, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress]]:
    """The whole training over two processes: its folder and what it reported."""
    workdir, seen = tmp_path_factory.mktemp("whole"), list[Progress]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.gan_callbacks.REPORT_EVERY_S", 0.0)
        assert gan(workdir, 2, progress=seen.append).finished
    return workdir, seen


def losses(seen: list[Progress]) -> np.ndarray[Any, Any]:
    return np.array([[report.metrics[name] for name in sorted(report.metrics)] for report in seen])


def at_call(number: int, act: Callable[[], object]) -> Callable[[], bool]:
    """A `stop` that never says stop, and does something at its call `number`."""
    calls = iter(range(1, 10_000))

    def stop() -> bool:
        if next(calls) == number:
            act()
        return False

    return stop


def test_two_processes_train_the_network_of_one(whole: tuple[Path, list[Progress]], tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = gan(tmp_path, 1, progress=seen.append)
    assert result.ada_p > 0, "the augmentation must have changed images"
    workdir, reports = whole
    assert len(seen) == len(reports) == ITERATIONS
    assert {"r1", "loss_g", "loss_d", "ada_p"} <= seen[-1].metrics.keys()
    np.testing.assert_allclose(losses(reports), losses(seen), rtol=TOLERANCE, atol=TOLERANCE)
    assert largest_difference(last_state(workdir), last_state(tmp_path)) < TOLERANCE
    assert not (workdir / "ranks").exists()


def test_feature_network_keeps_its_frozen_mapping(whole: tuple[Path, list[Progress]], tmp_path: Path) -> None:
    start = gan(whole[0], 2).weights  # finished: returns at once
    results = [gan(tmp_path / f"{n}", n, start=start, freeze_mapping=True) for n in (1, 2)]
    assert largest_difference(*(last_state(tmp_path / f"{n}") for n in (1, 2))) < TOLERANCE
    for name, tensor in results[1].weights.generator.items():
        assert not name.startswith("mapping.") or torch.equal(tensor, start.generator_ema[name])


def test_two_processes_train_the_editor_of_one(tmp_path: Path) -> None:
    pairs, judges = training_pairs(tmp_path / "pairs"), load_judges(shipped_judges_dir())
    reports: dict[int, list[Progress]] = {1: [], 2: []}
    for n, seen in reports.items():
        folder = tmp_path / f"{n}"
        train_editor(EDITOR, pairs, judges, folder / "out", folder, seen.append, devices=n)
    expected = {"inside", "outside", "alpha", "deception", "discriminator", "attribute", "identity"}
    assert expected <= reports[2][-1].metrics.keys()
    last = [losses(seen[-5:]) for seen in reports.values()]
    np.testing.assert_allclose(*last, rtol=TOLERANCE, atol=TOLERANCE)
    assert largest_difference(*(last_state(tmp_path / f"{n}") for n in (1, 2))) < TOLERANCE


def test_killed_then_stopped_training_ends_with_the_same_bits(
    whole: tuple[Path, list[Progress]], tmp_path: Path
) -> None:
    """Over two processes: the second is killed, the next attempt's second gets SIGTERM, the third attempt ends well."""
    often = GAN.model_copy(update={"checkpoint_every_s": 0.0})
    killed_at: list[float] = []

    def kill() -> None:
        other_ranks()[0].kill()
        killed_at.append(time.monotonic())

    with pytest.raises(RankDiedError, match=r"2 of 2 ended: killed by SIGKILL.*goes on from the last checkpoint"):
        gan(tmp_path, 2, config=often, stop=at_call(6, kill))
    assert time.monotonic() - killed_at[0] < NOTICED_S
    assert not torch.distributed.is_initialized()

    seen: list[Progress] = []
    part = gan(tmp_path, 2, stop=at_call(4, lambda: other_ranks()[0].terminate()), progress=seen.append)
    assert seen[0].step >= 6 * GAN.batch_size, "it must go on, not begin anew"
    assert not part.finished and part.iterations < ITERATIONS
    assert not other_ranks()

    assert gan(tmp_path, 2).finished
    assert largest_difference(last_state(tmp_path), last_state(whole[0])) == 0


LEADER = """
import sys
from pathlib import Path
import numpy as np
from training.gan_config import GanTrainingConfig
from training.gan_training import train_gan

folder, config = Path(sys.argv[1]), GanTrainingConfig.model_validate_json(sys.argv[2])
train_gan(config, np.load(folder / "images.npy"), folder, devices=2, progress=lambda _: print("on", flush=True))
"""


def test_other_processes_end_with_the_first(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", training_images())
    endless = GAN.model_copy(update={"kimg": 10_000.0}).model_dump_json()
    command = [sys.executable, "-c", LEADER, str(tmp_path), endless]
    first = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None and first.stdout.readline() == b"on\n"
        others = psutil.Process(first.pid).children()
        assert len(others) == 1
    finally:
        first.kill()
        first.communicate()
    _, alive = psutil.wait_procs(others, NOTICED_S)
    assert not alive


def test_training_goes_on_over_as_many_devices_as_it_began_with(
    whole: tuple[Path, list[Progress]], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="other settings"):
        gan(whole[0], 1)


@pytest.mark.parametrize(("batch", "devices"), [(10, 4), (12, 2), (8, 3)])
def test_batch_that_splits_a_group_is_refused(tmp_path: Path, batch: int, devices: int) -> None:
    with pytest.raises(UserError, match=f"batch_size is {batch}: {devices} devices"):
        gan(tmp_path, devices, config=GAN.model_copy(update={"batch_size": batch}))
    assert not list(tmp_path.iterdir())


def test_parts_of_a_draw_make_the_whole() -> None:
    def source() -> np.random.Generator:
        return draw(1, Purpose.AUGMENTATION, 2)

    sources = [Ranks(rank, 3).draws(source()) for rank in range(3)]
    assert all(isinstance(s, PartialDraws) for s in sources) and isinstance(SOLO.draws(source()), np.random.Generator)
    whole_source = source()
    for name, arguments, size in (("uniform", (-2, 2), (6, 4)), ("random", (), (6,)), ("standard_normal", (), (6, 3))):
        dtype = {"dtype": np.float32} if name == "standard_normal" else {}
        parts = [getattr(s, name)(*arguments, (2, *size[1:]), **dtype) for s in sources]
        assert np.array_equal(np.concatenate(parts), getattr(whole_source, name)(*arguments, size, **dtype))
    assert [Ranks(rank, 3).part(6) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_processes_that_drift_apart_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process changes its network after the other was told what it is."""
    own = GanModule.batches

    def drift(module: GanModule, images: NDArray[np.uint8]) -> GanBatches:
        with torch.no_grad():
            module.d.logit.bias += 1e-12
        return own(module, images)

    monkeypatch.setattr(GanModule, "batches", drift)
    with pytest.raises(RanksDifferError):
        gan(tmp_path, 2)
    assert not list(tmp_path.glob("checkpoints/*"))
