"""What goes on beside the training of a GAN: checkpoints, snapshots, reports, a clean stop."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from lightning import Callback, Trainer
from safetensors.torch import save_file

from data.errors import UserError
from training.checkpoint_io import SafetensorsCheckpointIO
from training.gan_module import GanModule
from training.progress import Progress, ProgressFn
from training.stylegan2 import Generator
from training.weights_io import state_of

SnapshotFn = Callable[[float, Generator], None]
KEPT_CHECKPOINTS = 2
REPORT_EVERY_S = 2.0


class Checkpoints(Callback):
    """The module's true state at intervals and at the end, through Lightning's checkpoint plugin; the last two stay."""

    def __init__(self, directory: Path, every_s: float, identity: str) -> None:
        self.directory, self.every_s, self.identity = directory, every_s, identity
        self.written_at = time.monotonic()

    def restore_latest(self, module: GanModule) -> None:
        """Take up the newest checkpoint, if any; raises UserError where it belongs to another training."""
        files = numbered_files(self.directory)
        if not files:
            return
        _, path = files[-1]
        state = SafetensorsCheckpointIO().load_checkpoint(path)
        if state["identity"] != self.identity:
            raise UserError(
                f"{path}: belongs to a training with other settings, images or start weights.",
                "Give another folder, or delete this one to begin anew.",
            )
        module.restore(state["training"])

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if time.monotonic() - self.written_at >= self.every_s:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: GanModule) -> None:
        state = {"identity": self.identity, "training": module.true_state()}
        plugin = trainer.strategy.checkpoint_io
        plugin.save_checkpoint(state, self.directory / f"{module.iteration:09d}.safetensors")
        for _, path in numbered_files(self.directory)[:-KEPT_CHECKPOINTS]:
            plugin.remove_checkpoint(path)
        self.written_at = time.monotonic()


class Snapshots(Callback):
    """The averaged generator every `snapshot_kimg` and at the end: in a file, and to whoever scores or draws it."""

    def __init__(self, directory: Path, on_snapshot: SnapshotFn | None) -> None:
        self.directory, self.on_snapshot = directory, on_snapshot

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        config, iteration = pl_module.config, pl_module.iteration
        if iteration % config.snapshot_iterations and iteration != config.iterations:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        target = self.directory / f"{iteration:09d}.safetensors"
        part = target.with_suffix(".part")
        save_file(state_of(pl_module.g_ema), part)
        os.replace(part, target)
        if self.on_snapshot is not None:
            self.on_snapshot(iteration * config.batch_size / 1000, pl_module.g_ema)


class Reports(Callback):
    """Progress every few seconds and at the end."""

    def __init__(self, progress: ProgressFn | None) -> None:
        self.progress = progress

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.mark = (time.monotonic(), pl_module.iteration)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        passed_s = time.monotonic() - self.mark[0]
        if self.progress is None or (passed_s < REPORT_EVERY_S and pl_module.iteration < pl_module.config.iterations):
            return
        batch, total = pl_module.config.batch_size, pl_module.config.iterations
        rate = (pl_module.iteration - self.mark[1]) * batch / max(passed_s, 1e-9)
        left_s = (total - pl_module.iteration) * batch / rate
        metrics = {name: float(value) for name, value in pl_module.losses.items()} | {"ada_p": pl_module.ada_p}
        self.progress(Progress(pl_module.iteration * batch, total * batch, "images", rate, left_s, metrics=metrics))
        self.mark = (time.monotonic(), pl_module.iteration)


class CleanStop(Callback):
    """End after the running iteration on SIGTERM, SIGINT or when `stop()` says so; a second SIGINT interrupts at once.

    Installed after Lightning's own handlers, which would raise instead.
    """

    def __init__(self, stop: Callable[[], bool] | None) -> None:
        self.stop = stop
        self.asked = False
        self.before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if threading.current_thread() is threading.main_thread():  # handlers can be set nowhere else
            self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if self.asked or (self.stop is not None and self.stop()):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _restore(self) -> None:
        for number, previous in self.before.items():
            signal.signal(number, previous)
        self.before = {}


def numbered_files(directory: Path) -> list[tuple[int, Path]]:
    """(iteration, file) of a folder of checkpoints or snapshots, oldest first; empty where there is no folder."""
    return sorted((int(path.stem), path) for path in directory.glob("[0-9]*.safetensors"))


def snapshot_files(directory: Path, iteration: int) -> list[tuple[int, Path]]:
    """(iteration, file) of the snapshots up to an iteration: later ones are left over from before a resumption."""
    return [(number, path) for number, path in numbered_files(directory) if number <= iteration]
