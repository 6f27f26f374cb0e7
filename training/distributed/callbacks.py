"""What the processes of one training look after together."""

from __future__ import annotations

from typing import Any

import lightning

from training.distributed.ranks import Ranks


class Alike(lightning.Callback):
    """All ranks begin and end with the same state, or the training fails before it is written down."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self._check(pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        self._check(pl_module)

    def _check(self, module: Any) -> None:
        if self.ranks.count > 1:
            self.ranks.check_alike(module.true_state())
