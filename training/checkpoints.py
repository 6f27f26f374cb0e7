"""The checkpoints of one training in a folder: written at intervals, the last two kept, the newest whole one taken."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from data import fail_points
from data.errors import UserError
from data.whole_file import remove_parts
from training.checkpoint_io import DamagedCheckpointError, SafetensorsCheckpointIO

KEPT_CHECKPOINTS = 2
LOGGER = logging.getLogger(__name__)


class CheckpointFolder:
    """True states by iteration; `identity` names the training they belong to, `every_s` is the interval in seconds."""

    def __init__(self, directory: Path, every_s: float, identity: str, plugin: CheckpointIO | None = None) -> None:
        self.directory, self.every_s, self.identity = directory, every_s, identity
        self.plugin = plugin or SafetensorsCheckpointIO()
        self._written_at = time.monotonic()

    def latest(self) -> dict[str, Any] | None:
        """The newest state that is whole, or None.

        A damaged file is deleted, with a warning, and the one before it taken: a state can be computed again. Raises
        UserError where the folder belongs to another training.
        """
        files = numbered_files(self.directory)
        for _, path in reversed(files):
            try:
                state = self.plugin.load_checkpoint(path)
            except DamagedCheckpointError as error:
                LOGGER.warning("%s It is deleted, and an earlier one taken where there is one.", error.message)
                self.plugin.remove_checkpoint(path)
                continue
            self._check_identity(state, path)
            restored: dict[str, Any] = state["training"]
            return restored
        if files:
            LOGGER.warning("%s: no checkpoint is whole; the training begins anew.", self.directory)
        return None

    @property
    def due(self) -> bool:
        """Whether the interval has passed since the last one was written."""
        return time.monotonic() - self._written_at >= self.every_s

    def write(self, iteration: int, state: Mapping[str, Any]) -> None:
        """Write a state, and only then delete what is too old; raises DiskFullError, all as it was before."""
        fail_points.reach("checkpoint-due")
        document = {"identity": self.identity, "training": state}
        self.plugin.save_checkpoint(document, self.directory / f"{iteration:09d}.safetensors")
        remove_parts(self.directory)
        for _, path in numbered_files(self.directory)[:-KEPT_CHECKPOINTS]:
            self.plugin.remove_checkpoint(path)
        self._written_at = time.monotonic()
        fail_points.reach("checkpoint-written")

    def _check_identity(self, state: Mapping[str, Any], path: Path) -> None:
        if state["identity"] != self.identity:
            raise UserError(
                f"{path}: belongs to a training with other settings, images or start weights.",
                "Give another folder, or delete this one to begin anew.",
            )


def numbered_files(directory: Path) -> list[tuple[int, Path]]:
    """(iteration, file) of a folder of checkpoints or snapshots, oldest first; empty where there is no folder."""
    return sorted((int(path.stem), path) for path in directory.glob("[0-9]*.safetensors"))
