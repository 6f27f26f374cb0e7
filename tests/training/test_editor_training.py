"""What the editor's training must hold: it learns, resumes bit for bit, and refuses what does not fit."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from training.checkpoint_io import SafetensorsCheckpointIO
from training.editor.apply import Editor, blending_mask, load_editor
from training.editor.augment import AugmentConfig
from training.editor.batches import EditorBatches
from training.editor.config import EditorTrainingConfig
from training.editor.judging import TrainingJudges
from training.editor.losses import identity_drift
from training.editor.module import EditorModule
from training.editor.network import EditorNetwork
from training.editor.train import EditorResult, train_editor
from training.fitting import fit
from training.interruption import Interrupted
from training.judges import load_judges
from training.judges.shipped import shipped_judges_dir
from training.pair_store import PairMeasures, encode_pair, open_pairs, write_pairs
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


def store(directory: Path, rows: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]]) -> Path:
    measures = {field.name: 0 for field in fields(PairMeasures)}
    pairs = (encode_pair(*row, PairMeasures(**measures | {"index": i})) for i, row in enumerate(rows))
    write_pairs(directory, pairs)
    return directory


@pytest.fixture(scope="module")
def pairs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("pairs"), zip(*scenes(48, seed=0), strict=True))


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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_judged_training_resumes_bit_for_bit(pairs_dir: Path, tmp_path: Path, precision: str) -> None:
    settings = config(4, attribute="beard", attribute_weight=0.2, identity_weight=0.5, precision=precision)
    judges = load_judges(shipped_judges_dir())
    whole = train_editor(settings, pairs_dir, judges, tmp_path / "whole", tmp_path / "work-whole")
    with pytest.raises(Interrupted, match="iteration 2 of 4"):
        train_editor(settings, pairs_dir, judges, tmp_path / "parts", tmp_path / "work-parts", stop=after(2))
    again = load_judges(shipped_judges_dir())
    parts = train_editor(settings, pairs_dir, again, tmp_path / "parts", tmp_path / "work-parts")
    assert payload(tmp_path / "parts") == payload(tmp_path / "whole")
    assert parts == whole
    assert 0 < whole.losses["identity"] < 2


def test_identity_weight_holds_the_identity(pairs_dir: Path, tmp_path: Path) -> None:
    """The same few steps with the weight and without: nothing else differs, so the drift must be the smaller one.

    The discriminator is left out; both weights start the network from the same seed.
    """
    judges = load_judges(shipped_judges_dir())
    x, vectors = tensors(scenes(16, seed=7)[0]), judges.identity_train.vectors
    drifts = []
    for weight in (0.0, 20.0):
        settings = config(12, identity_weight=weight, adversarial_weight=0)
        train_editor(settings, pairs_dir, judges, tmp_path / f"{weight}", tmp_path / f"work-{weight}")
        drifts.append(float(identity_drift(vectors(load_editor(tmp_path / f"{weight}")(x)), vectors(x))))
    assert drifts[1] < drifts[0]


def test_step_at_256_px_trains_two_discriminators(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    row = tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((256, 256, 3), (256, 256, 3), (256, 256)))
    pairs = store(tmp_path / "pairs", [row, row])  # type: ignore[list-item]
    settings = config(1, kimg=0.002, batch_size=2, channels=(4, 4, 4), detail_channels=4, adversarial_from=0)
    result = train_editor(settings, pairs, None, tmp_path / "out", tmp_path / "work")
    assert {"deception", "discriminator"} <= result.losses.keys()
    assert load_editor(tmp_path / "out").network.config.levels == 4
    state = SafetensorsCheckpointIO().load_checkpoint(next((tmp_path / "work" / "checkpoints").iterdir()))
    scales = {name.split(".")[1] for name in state["training"]["discriminator"]}
    assert scales == {"0", "1"}


def test_editor_without_blending_learns_no_alpha(pairs_dir: Path, tmp_path: Path) -> None:
    result = train_editor(config(2, blend=False), pairs_dir, None, tmp_path / "out", tmp_path / "work")
    assert "alpha" not in result.losses
    assert not load_editor(tmp_path / "out").network.config.blend
    with pytest.raises(UserError, match="blend is False"):
        train_editor(config(1), pairs_dir, None, tmp_path / "on", tmp_path / "work-on", start=tmp_path / "out")


def test_fp16_scales_its_losses_and_keeps_the_scale(pairs_dir: Path) -> None:
    """Trained by the loop itself, since `train_editor` asks a GPU for fp16."""
    settings = config(8, precision="fp16", adversarial_from=0)
    size_px = open_pairs(pairs_dir).size_px
    torch.manual_seed(0)
    module = EditorModule(settings, EditorNetwork(settings.network(size_px)), TrainingJudges())
    before = module.editor.stem.weight.detach().clone()
    fit(module, EditorBatches(settings, open_pairs(pairs_dir)), [], "cpu", 1)
    state = module.true_state()
    # The first steps overflow and halve the scale until one fits; from then on each counts.
    assert 1 < state["scaler"]["scale"] <= 2**16 and state["scaler"]["_growth_tracker"] > 0
    assert state["scaler_d"]["scale"] > 1
    assert not torch.equal(module.editor.stem.weight, before)
    other = EditorModule(settings, EditorNetwork(settings.network(size_px)), TrainingJudges())
    other.restore(state)
    assert other.true_state()["scaler"] == state["scaler"]


@pytest.mark.parametrize("setting", [{"precision": "fp16"}, {"compile": True}])
def test_what_needs_a_gpu_is_refused_on_a_cpu(pairs_dir: Path, tmp_path: Path, setting: dict[str, object]) -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        train_editor(config(1, **setting), pairs_dir, None, tmp_path / "out", tmp_path / "work")


def test_pairs_of_a_side_that_does_not_halve_are_refused(pairs_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="multiple of 64"):
        train_editor(config(1, levels=6), pairs_dir, None, tmp_path / "out", tmp_path / "work")


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


@pytest.mark.parametrize("weight", ["attribute_weight", "identity_weight"])
def test_judged_loss_without_judges_is_refused(pairs_dir: Path, tmp_path: Path, weight: str) -> None:
    with pytest.raises(UserError, match=f"{weight} is above 0, which needs judges"):
        train_editor(config(1, **{weight: 0.1}), pairs_dir, None, tmp_path / "out", tmp_path / "work")


def test_missing_or_damaged_editor_is_named(pairs_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"editor\.json"):
        load_editor(tmp_path / "nowhere")
    train_editor(config(1), pairs_dir, None, tmp_path / "out", tmp_path / "work")
    (tmp_path / "out" / "editor.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"editor\.safetensors"):
        load_editor(tmp_path / "out")
