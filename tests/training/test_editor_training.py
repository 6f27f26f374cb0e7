"""What the editor's training must hold: it learns, resumes bit for bit, and refuses what does not fit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from training.editor.apply import Editor, blending_mask, load_editor
from training.editor.augment import AugmentConfig
from training.editor.config import EditorTrainingConfig
from training.editor.train import EditorResult, train_editor
from training.interruption import Interrupted
from training.pair_store import PairMeasures, encode_pair, write_pairs
from training.progress import Progress

SIZE_PX = 32
BATCH = 8
SMALL = AugmentConfig(shift=0.05, rotation_deg=0, scale=0, noise=0.02)


def scenes(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Soft backgrounds with a grey disc somewhere; the edit paints the disc red. uint8 N×H×W×3, N×H×W×3, N×H×W."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    originals = np.empty((count, SIZE_PX, SIZE_PX, 3))
    masks = np.empty((count, SIZE_PX, SIZE_PX))
    for row in range(count):
        low, high = rng.uniform(20, 120, 3), rng.uniform(20, 120, 3)
        cx, cy = rng.uniform(10, 22, 2)
        masks[row] = (x - cx) ** 2 + (y - cy) ** 2 < 36
        ground = low + (high - low) * (x / SIZE_PX)[..., None]
        originals[row] = np.where(masks[row][..., None] > 0, 200.0, ground)
    targets = np.where(masks[..., None] > 0, np.array([220.0, 30.0, 30.0]), originals)
    return originals.astype(np.uint8), targets.astype(np.uint8), (masks * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pairs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pairs")
    rows = zip(*scenes(48, seed=0), strict=True)
    write_pairs(directory, (encode_pair(*row, PairMeasures(i, 0, 0, 0, 0, 1, 1)) for i, row in enumerate(rows)))
    return directory


def config(iterations: int, **changes: object) -> EditorTrainingConfig:
    settings: dict[str, object] = {
        "attribute": "red",
        "kimg": iterations * BATCH / 1000,
        "batch_size": BATCH,
        "channels": (12, 16, 16),
        "detail_channels": 8,
        "augment": SMALL,
        "threads": 1,
    }
    return EditorTrainingConfig.model_validate(settings | changes)


def after(calls: int) -> Callable[[], bool]:
    seen = iter(range(1, 10_000))
    return lambda: next(seen) >= calls


def tensors(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1


def payload(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def trained(pairs_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Editor, EditorResult, list[Progress]]:
    folder = tmp_path_factory.mktemp("trained")
    reports: list[Progress] = []
    result = train_editor(config(150, lr=4e-3), pairs_dir, None, folder / "out", folder / "work", reports.append)
    return load_editor(folder / "out"), result, reports


def test_editor_learns_an_edit_and_leaves_the_rest(trained: tuple[Editor, EditorResult, list[Progress]]) -> None:
    """On unseen scenes, after seconds of training: half of the way to red, and 26 dB outside (RMS 0.05)."""
    editor, _, _ = trained
    originals, targets, masks = scenes(24, seed=99)
    x, t, m = tensors(originals), tensors(targets), torch.from_numpy(masks[:, None] / 255.0)
    edited = editor(x)
    inside = ((edited - t).abs() * m).sum() / ((x - t).abs() * m).sum()
    outside_mse = (((edited - x) / 2).square() * (1 - m)).sum() / (3 * (1 - m).sum())
    assert inside < 0.5
    assert -10 * torch.log10(outside_mse) > 26


def test_blending_mask_follows_the_disc(trained: tuple[Editor, EditorResult, list[Progress]]) -> None:
    editor, _, _ = trained
    originals, _, masks = scenes(24, seed=98)
    alpha, m = blending_mask(editor, tensors(originals)), torch.from_numpy(masks[:, None] / 255.0)
    assert (alpha * m).sum() / m.sum() > 0.5
    assert (alpha * (1 - m)).sum() / (1 - m).sum() < 0.1


def test_discriminator_joined_and_progress_reached_the_end(
    trained: tuple[Editor, EditorResult, list[Progress]],
) -> None:
    _, result, reports = trained
    assert {"inside", "outside", "alpha", "deception", "discriminator"} <= result.losses.keys()
    assert all(np.isfinite(value) for value in result.losses.values())
    assert reports[-1].step == reports[-1].total == 150 * BATCH


@pytest.mark.parametrize("adversarial_from", [0.0, 0.5])
def test_stopped_training_resumes_bit_for_bit(pairs_dir: Path, tmp_path: Path, adversarial_from: float) -> None:
    settings = config(6, adversarial_from=adversarial_from)
    train_editor(settings, pairs_dir, None, tmp_path / "whole", tmp_path / "work-whole")
    with pytest.raises(Interrupted, match="iteration 3 of 6"):
        train_editor(settings, pairs_dir, None, tmp_path / "parts", tmp_path / "work-parts", stop=after(3))
    assert not (tmp_path / "parts").exists()
    torch.rand(7)  # what others draw meanwhile must not matter
    train_editor(settings, pairs_dir, None, tmp_path / "parts", tmp_path / "work-parts")
    assert payload(tmp_path / "parts") == payload(tmp_path / "whole")


def test_seed_decides(pairs_dir: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        train_editor(config(2, seed=seed), pairs_dir, None, tmp_path / f"{seed}", tmp_path / f"work-{seed}")
    weights = [payload(tmp_path / f"{seed}")["editor.safetensors"] for seed in (0, 1)]
    assert weights[0] != weights[1]


def test_work_of_another_training_is_refused(pairs_dir: Path, tmp_path: Path) -> None:
    train_editor(config(2), pairs_dir, None, tmp_path / "out", tmp_path / "work")
    with pytest.raises(UserError, match="other settings"):
        train_editor(config(2, lr=1e-4), pairs_dir, None, tmp_path / "out", tmp_path / "work")


def test_training_goes_on_from_another_editor(pairs_dir: Path, tmp_path: Path) -> None:
    train_editor(config(3), pairs_dir, None, tmp_path / "first", tmp_path / "work-1")
    still = config(1, lr=1e-12, discriminator_lr=1e-12)
    train_editor(still, pairs_dir, None, tmp_path / "second", tmp_path / "work-2", start=tmp_path / "first")
    x = tensors(scenes(2, seed=5)[0])
    first, second = (load_editor(tmp_path / name) for name in ("first", "second"))
    assert torch.allclose(first(x), second(x), atol=1e-6)  # a step of 1e-12 moves nothing that float32 shows


def test_attribute_loss_without_judges_is_refused(pairs_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs judges"):
        train_editor(config(1, attribute_weight=0.1), pairs_dir, None, tmp_path / "out", tmp_path / "work")


def test_missing_or_damaged_editor_is_named(pairs_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"editor\.json"):
        load_editor(tmp_path / "nowhere")
    train_editor(config(1), pairs_dir, None, tmp_path / "out", tmp_path / "work")
    (tmp_path / "out" / "editor.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"editor\.safetensors"):
        load_editor(tmp_path / "out")
