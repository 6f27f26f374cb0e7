"""Run a LightningModule that keeps its own iteration: no logger, no checkpoints but our own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import lightning
import torch

from training.allocator import keep_freed_memory
from training.checkpoint_io import SafetensorsCheckpointIO
from training.distributed.ranks import SOLO, Ranks
from training.distributed.strategy import places


def fit(
    module: lightning.LightningModule,
    batches: Iterable[object],
    callbacks: list[lightning.Callback],
    accelerator: str,
    threads: int,
    ranks: Ranks = SOLO,
) -> None:
    """Train over `batches` once; `accelerator` is Lightning's name, `threads` the CPU threads (0 = as set).

    `ranks` is this process's place where several train together: their group stands already.
    """
    keep_freed_memory()
    with cpu_threads(threads), quiet_lightning():
        trainer = lightning.Trainer(
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic=False if accelerator == "cpu" else "warn",
            plugins=[SafetensorsCheckpointIO()],
            callbacks=callbacks,
            **places(ranks, accelerator),
        )
        trainer.fit(module, train_dataloaders=batches)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Set torch's CPU threads for a while; 0 leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out Lightning's greetings and its advice on workers and intervals; errors still show."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
