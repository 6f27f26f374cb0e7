"""The training of original and feature networks: resumable bit for bit, stopped cleanly, mapping frozen where asked."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from data.errors import UserError
from training.gan_config import GanTrainingConfig
from training.gan_training import GanResult, load_snapshot, train_gan
from training.progress import Progress
from training.sampling import latents
from training.stylegan2 import DiscriminatorConfig, GeneratorConfig
from training.weights_io import GanWeights, initial_weights, load_gan, save_gan

GENERATOR = GeneratorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8}, z_dim=8, w_dim=8, mapping_layers=2)
DISCRIMINATOR = DiscriminatorConfig(size_px=16, channels={4: 8, 8: 8, 16: 8})
SIX = GanTrainingConfig(
    kimg=0.024, batch_size=4, r1_interval=2, augment="ada", ada_kimg=0.05, style_mixing=0.5, mirror=True, threads=1,
    snapshot_kimg=0.008, generator=GENERATOR, discriminator=DISCRIMINATOR,
)  # fmt: skip


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)


class StopAfter:
    """Says stop at the end of the given iteration of this run."""

    def __init__(self, iterations: int) -> None:
        self.left = iterations

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def states(weights: GanWeights) -> dict[str, torch.Tensor]:
    parts = {"g": weights.generator, "ema": weights.generator_ema, "d": weights.discriminator}
    return {f"{part}/{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


def differing(a: GanWeights, b: GanWeights) -> list[str]:
    others = states(b)
    return [name for name, tensor in states(a).items() if not torch.equal(tensor, others[name])]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopped_training_resumes_bit_for_bit(tmp_path: Path, images: NDArray[np.uint8], precision: str) -> None:
    config = SIX.model_copy(update={"precision": precision})
    whole = train_gan(config, images, tmp_path / "whole")
    part = train_gan(config, images, tmp_path / "parts", stop=StopAfter(3))
    assert (part.iterations, part.finished) == (3, False)
    resumed = train_gan(config, images, tmp_path / "parts")
    assert (resumed.iterations, resumed.finished) == (6, True)
    assert differing(whole.weights, resumed.weights) == []
    assert whole.ada_p == resumed.ada_p
    assert differing(part.weights, resumed.weights), "the second half must have trained"
    for ours, theirs in zip(whole.snapshots, resumed.snapshots, strict=True):
        assert ours.path.read_bytes() == theirs.path.read_bytes()


def test_finished_training_returns_at_once(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    first = train_gan(SIX, images, tmp_path)
    seen: list[Progress] = []
    second = train_gan(SIX, images, tmp_path, progress=seen.append)
    assert second.finished and not seen
    assert differing(first.weights, second.weights) == []


def test_frozen_mapping_stays_bit_for_bit_and_synthesis_moves(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    start = train_gan(SIX, images, tmp_path / "original").weights
    tuned = train_gan(
        SIX.model_copy(update={"seed": 1}), images, tmp_path / "feature", start=start, freeze_mapping=True
    )
    for state in (tuned.weights.generator, tuned.weights.generator_ema):
        mapping = {name: tensor for name, tensor in state.items() if name.startswith("mapping.")}
        assert "mapping.w_avg" in mapping
        assert all(torch.equal(tensor, start.generator_ema[name]) for name, tensor in mapping.items())
    moved = differing(start, tuned.weights)
    assert any(name.startswith("ema/synthesis") for name in moved)
    assert any(name.startswith("d/") for name in moved)


def test_other_training_in_the_folder_is_refused(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    train_gan(SIX, images, tmp_path, stop=StopAfter(1))
    with pytest.raises(UserError, match="other settings, images or start"):
        train_gan(SIX, images[:9], tmp_path)
    with pytest.raises(UserError, match="other settings"):
        train_gan(SIX.model_copy(update={"lr": 1e-3}), images, tmp_path)
    longer = train_gan(SIX.model_copy(update={"kimg": 0.028}), images, tmp_path)  # a longer training is the same one
    assert longer.iterations == 7


def test_sigterm_leaves_a_checkpoint_to_go_on_from(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    def kill_once() -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    before = signal.getsignal(signal.SIGTERM)
    result = train_gan(SIX, images, tmp_path, stop=kill_once)
    assert not result.finished and result.iterations == 2  # the signal comes after the check of the first iteration
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["000000002.safetensors"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert train_gan(SIX, images, tmp_path).finished


def test_last_two_checkpoints_stay(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    train_gan(SIX.model_copy(update={"checkpoint_every_s": 0.0}), images, tmp_path)
    assert sorted(file.stem for file in (tmp_path / "checkpoints").iterdir()) == ["000000005", "000000006"]


def test_snapshots_progress_and_callback_tell_the_same_story(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    seen: list[Progress] = []
    drawn: list[float] = []
    result = train_gan(SIX, images, tmp_path, progress=seen.append, on_snapshot=lambda kimg, _: drawn.append(kimg))
    assert [snapshot.kimg for snapshot in result.snapshots] == drawn == [0.008, 0.016, 0.024]
    last = load_snapshot(result.snapshots[-1], GENERATOR)
    assert torch.equal(last.synthesis.const, result.weights.generator_ema["synthesis.const"])
    assert (seen[-1].step, seen[-1].total) == (24, 24)
    assert {"loss_d", "loss_g", "r1"} <= set(seen[-1].metrics)


def test_training_moves_the_images_towards_the_data(tmp_path: Path) -> None:
    red = np.zeros((32, 8, 8, 3), dtype=np.uint8)
    red[..., 0] = 255
    channels = {4: 8, 8: 8}
    config = GanTrainingConfig(
        kimg=1.6, batch_size=8, threads=1, precision="fp32", ema_kimg=0.05, seed=3,
        generator=GeneratorConfig(size_px=8, channels=channels, z_dim=8, w_dim=8, mapping_layers=2),
        discriminator=DiscriminatorConfig(size_px=8, channels=channels),
    )  # fmt: skip
    target = torch.tensor([1.0, -1.0, -1.0])

    def distance(result: GanResult | GanWeights) -> float:
        weights = result.weights if isinstance(result, GanResult) else result
        image = weights.build_generator()(latents(0, torch.arange(16), 8), None)
        return float((image.mean(dim=(0, 2, 3)) - target).norm())

    assert config.generator is not None and config.discriminator is not None
    start = initial_weights(config.generator, config.discriminator, config.seed)
    # untrained images are grey, 1.7 away from red
    assert distance(train_gan(config, red, tmp_path)) < 0.4 * distance(start)


def test_weights_survive_the_disk_and_damage_is_named(tmp_path: Path) -> None:
    weights = initial_weights(GENERATOR, DISCRIMINATOR, seed=0)
    save_gan(tmp_path, weights)
    assert differing(load_gan(tmp_path), weights) == []
    assert load_gan(tmp_path).generator_config == GENERATOR
    (tmp_path / "discriminator.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"discriminator\.safetensors"):
        load_gan(tmp_path)
    (tmp_path / "network.json").unlink()
    with pytest.raises(UserError, match=r"network\.json"):
        load_gan(tmp_path)


def test_images_of_another_size_are_refused_with_both_sizes(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    start = initial_weights(GENERATOR, DISCRIMINATOR, seed=0)
    with pytest.raises(UserError, match="8×8 px, the network draws 16×16"):
        train_gan(SIX, np.ascontiguousarray(images[:, :8, :8]), tmp_path, start=start)
    with pytest.raises(UserError, match="no image"):
        train_gan(SIX, images[:0], tmp_path)
