"""What goes on beside the training of a GAN: checkpoints, snapshots, reports, a clean stop."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from safetensors.torch import save_file

from data.whole_file import written_whole
from training.checkpoints import CheckpointFolder, numbered_files
from training.distributed.ranks import SOLO, Ranks
from training.gan_module import GanModule
from training.interruption import StopRequest
from training.progress import Progress, ProgressFn
from training.stylegan2 import Generator
from training.weights_io import state_of

SnapshotFn = Callable[[float, Generator], None]
REPORT_EVERY_S = 2.0


class Checkpoints(Callback):
    """The module's true state at intervals and at the end, through Lightning's checkpoint plugin; the last two stay."""

    def __init__(self, directory: Path, every_s: float, identity: str) -> None:
        self.folder = CheckpointFolder(directory, every_s, identity)

    def restore_latest(self, module: GanModule) -> None:
        """Take up the newest whole checkpoint, if any; raises UserError where it belongs to another training."""
        state = self.folder.latest()
        if state is not None:
            module.restore(state)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if self.folder.due:
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: Trainer, module: GanModule) -> None:
        self.folder.plugin = trainer.strategy.checkpoint_io
        self.folder.write(module.iteration, module.true_state())


class Snapshots(Callback):
    """The averaged generator every `snapshot_kimg` and at the end: in a file, and to whoever scores or draws it."""

    def __init__(self, directory: Path, on_snapshot: SnapshotFn | None) -> None:
        self.directory, self.on_snapshot = directory, on_snapshot

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        config, iteration = pl_module.config, pl_module.iteration
        if iteration % config.snapshot_iterations and iteration != config.iterations:
            return
        with written_whole(self.directory / f"{iteration:09d}.safetensors", "a snapshot") as part:
            save_file(state_of(pl_module.g_ema), part)
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
    """End after the running iteration on SIGTERM, SIGINT or when `stop()` says so, to any of `ranks`.

    Signals are heard from the start of the training on: after Lightning's own handlers, which would raise instead.
    """

    def __init__(self, stop: Callable[[], bool] | None, ranks: Ranks = SOLO) -> None:
        self.request, self.ranks = StopRequest(stop), ranks

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.request.__enter__()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if self.ranks.any(self.request()):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.request.__exit__()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self.request.__exit__()


def snapshot_files(directory: Path, iteration: int) -> list[tuple[int, Path]]:
    """(iteration, file) of the snapshots up to an iteration: later ones are left over from before a resumption."""
    return [(number, path) for number, path in numbered_files(directory) if number <= iteration]
