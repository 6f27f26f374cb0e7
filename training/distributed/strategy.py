"""Lightning's strategy for a process among others that train the same network."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy

from training.distributed.ranks import Ranks

TIMEOUT = timedelta(minutes=30)
"""How long the others wait for one: the first draws pictures and writes checkpoints between two iterations."""


class _Joined(ClusterEnvironment):
    """Processes that were started and joined before Lightning came."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        raise RuntimeError("the processes have met already")

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.ranks.count

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.ranks.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.ranks.rank

    def node_rank(self) -> int:
        return 0


class RankStrategy(DDPStrategy):
    """DDP without its wrapper round the module, which our modules would go past: they call G and D by hand.

    So they average their gradients themselves (`Ranks.average_gradients`), each phase's before its step.
    """

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        super().__init__(parallel_devices=[device] * ranks.count, cluster_environment=_Joined(ranks), timeout=TIMEOUT)

    def configure_ddp(self) -> None:
        pass

    def _configure_launcher(self) -> None:
        self._launcher = None  # Lightning's would set the number of threads, too


def device_of(accelerator: str) -> torch.device:
    """What one process of several computes on, by Lightning's name for its kind: the first card that it sees."""
    cuda = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    return torch.device("cuda", 0) if cuda else torch.device("cpu")


def places(ranks: Ranks, accelerator: str) -> dict[str, Any]:
    """The Trainer's arguments on where to train: one device, and how it belongs to others."""
    one = {"accelerator": accelerator, "devices": 1}
    return one if ranks.count == 1 else {**one, "strategy": RankStrategy(ranks, device_of(accelerator))}
