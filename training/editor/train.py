"""Train an editor on the pairs of an attribute: resumable at any iteration, stopped cleanly by a signal."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from pydantic import ValidationError

from data.errors import UserError
from training.distributed.callbacks import Alike
from training.distributed.ranks import Ranks
from training.distributed.sharing import check_shared
from training.editor.apply import load_editor, save_editor
from training.editor.config import EditorTrainingConfig
from training.editor.judging import training_judges
from training.editor.module import EditorModule
from training.editor.network import EditorNetwork
from training.editor.rank import editor_ranks
from training.fitting import fit
from training.gan_callbacks import Checkpoints, CleanStop
from training.interruption import Interrupted
from training.judges import JudgeSet
from training.pair_store import PairReader, open_pairs
from training.progress import Progress, ProgressFn

# Settings that may change between two runs in one folder without making it another training.
RUNTIME_FIELDS = {"threads", "checkpoint_every_s"}
REPORT_EVERY_S = 2.0
_SIZES = "Align to another size (aligned_images.size_px), or set attribute_editor.levels lower."


@dataclass(frozen=True)
class EditorResult:
    """What a training left: iterations, pairs it learnt from, the last iteration's losses."""

    iterations: int
    pairs: int
    losses: dict[str, float]


def train_editor(
    config: EditorTrainingConfig,
    pairs_dir: Path,
    judges: JudgeSet | None,
    out_dir: Path,
    workdir: Path,
    progress: ProgressFn | None = None,
    stop: Callable[[], bool] | None = None,
    *,
    start: Path | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    cards: tuple[str, ...] = (),
) -> EditorResult:
    """Train on the pairs of `pairs_dir` and write the averaged editor to `out_dir`; `workdir` keeps the checkpoints.

    `start` is another editor's directory to go on from. Judges are needed for `attribute_weight` or `identity_weight`
    above 0; only the training ones are asked, on their own device. Raises UserError where pairs, start, judges and
    accelerator (Lightning's name) do not fit, or `workdir` holds another training; Interrupted where a signal or
    `stop()` ended it: the same call goes on.

    Over several `devices` as many processes train, as in `train_gan`.
    """
    _check_accelerator(config, accelerator)
    check_shared(config.batch_size, devices)
    pairs = open_pairs(pairs_dir)
    module = _module(config, pairs, judges, start, "cpu" if accelerator == "cpu" else "cuda", Ranks(0, devices))
    checkpoints = Checkpoints(workdir / "checkpoints", config.checkpoint_every_s, _identity(module, pairs))
    checkpoints.restore_latest(cast(Any, module))  # asks for no more than `restore`
    batches = module.batches(pairs)
    if len(batches):
        callbacks = [Alike(module.ranks), _Reports(progress), checkpoints, CleanStop(stop, module.ranks)]
        with editor_ranks(module, pairs, judges, workdir / "ranks", accelerator, cards):
            fit(module, batches, callbacks, accelerator, config.threads, module.ranks)
    if module.iteration < config.iterations:
        raise Interrupted(f"stopped at iteration {module.iteration} of {config.iterations}")
    settings = config.model_dump(mode="json", exclude=RUNTIME_FIELDS)
    save_editor(out_dir, module.average, config.attribute, {"config": settings, "pairs": len(pairs)})
    losses = {name: float(value) for name, value in module.losses.items()}
    return EditorResult(module.iteration, len(pairs), losses)


class _Reports(lightning.Callback):
    """Progress every few seconds and at the end."""

    def __init__(self, progress: ProgressFn | None) -> None:
        self.progress = progress
        self.mark = (0.0, 0)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self.mark = (time.monotonic(), pl_module.iteration)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *args: Any) -> None:
        passed_s, total = time.monotonic() - self.mark[0], pl_module.config.iterations
        if self.progress is None or (passed_s < REPORT_EVERY_S and pl_module.iteration < total):
            return
        batch = pl_module.config.batch_size
        rate = (pl_module.iteration - self.mark[1]) * batch / max(passed_s, 1e-9)
        left_s = (total - pl_module.iteration) * batch / rate
        metrics = {name: float(value) for name, value in pl_module.losses.items()}
        self.progress(Progress(pl_module.iteration * batch, total * batch, "images", rate, left_s, metrics=metrics))
        self.mark = (time.monotonic(), pl_module.iteration)


def _check_accelerator(config: EditorTrainingConfig, accelerator: str) -> None:
    if accelerator != "cpu":
        return
    if config.precision == "fp16":
        raise UserError("precision is fp16, which needs a GPU.", "Set attribute_editor.precision to bf16 or fp32.")
    if config.compile:
        raise UserError("compile is true, which needs a GPU.", "Set attribute_editor.compile to false.")


def _module(
    config: EditorTrainingConfig,
    pairs: PairReader,
    judges: JudgeSet | None,
    start: Path | None,
    device_type: str,
    ranks: Ranks,
) -> EditorModule:
    """The module with seeded weights."""
    asked = training_judges(config, judges)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return EditorModule(config, _network(config, pairs.size_px, start), asked, device_type, ranks)


def _network(config: EditorTrainingConfig, size_px: int, start: Path | None) -> EditorNetwork:
    """A new network for the pairs' size, or the start's."""
    try:
        shape = config.network(size_px)
    except ValidationError as error:
        raise UserError(f"The pairs do not suit the editor: {_reason(error)}.", _SIZES) from error
    if start is None:
        return EditorNetwork(shape)
    network = load_editor(start).network
    if size_px % network.config.divisor:
        raise UserError(
            f"The pairs are {size_px} px, the start asks for multiples of {network.config.divisor}.", _SIZES
        )
    if network.config.blend != config.blend:
        raise UserError(f"{start}: blend is {network.config.blend}, expected {config.blend}.", "Set blend as it was.")
    network.config = network.config.model_copy(update={"size_px": size_px})
    return network.train().requires_grad_(True)


def _reason(error: ValidationError) -> str:
    return "; ".join(str(part["msg"]).removeprefix("Value error, ") for part in error.errors())


def _identity(module: EditorModule, pairs: PairReader) -> str:
    """Digest of what makes this training the one it is: settings, pairs, start weights."""
    digest = hashlib.sha256(module.config.model_dump_json(exclude=RUNTIME_FIELDS).encode())
    digest.update(pairs.digest.encode())
    if module.ranks.count > 1:  # each number of devices rounds its own way
        digest.update(f"{module.ranks.count} devices".encode())
    for name, tensor in sorted(module.editor.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
