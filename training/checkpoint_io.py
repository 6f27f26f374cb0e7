"""Checkpoints as one safetensors file: tensors as tensors, the rest of the state as JSON. Never a pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data.errors import UserError

_STATE = "state"  # the one metadata key: with several, their order in the file is random
_TENSOR, _MAP, _TUPLE = "__tensor__", "__map__", "__tuple__"


def encode_state(state: object, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON form of nested dicts, lists, tuples and plain values; tensors are put aside in `tensors` by a number.

    Raises TypeError for anything else: such a thing could only be written by a pickle.
    """
    if isinstance(state, torch.Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = state.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(state, Mapping):  # as a list of pairs: keys may be numbers
        return {_MAP: [[encode_state(k, tensors), encode_state(v, tensors)] for k, v in state.items()]}
    if isinstance(state, tuple):
        return {_TUPLE: [encode_state(item, tensors) for item in state]}
    if isinstance(state, list):
        return [encode_state(item, tensors) for item in state]
    if state is None or isinstance(state, bool | int | float | str):
        return state
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(state).__name__}")


def decode_state(state: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The inverse of `encode_state`."""
    if isinstance(state, list):
        return [decode_state(item, tensors) for item in state]
    if not isinstance(state, dict):
        return state
    if _TENSOR in state:
        return tensors[state[_TENSOR]]
    if _TUPLE in state:
        return tuple(decode_state(item, tensors) for item in state[_TUPLE])
    return {decode_state(k, tensors): decode_state(v, tensors) for k, v in state[_MAP]}


class SafetensorsCheckpointIO(CheckpointIO):
    """Lightning's checkpoint plugin: written beside its place, flushed to the disk, then renamed."""

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; a crash leaves the file as it was or as it shall be."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, torch.Tensor] = {}
        state = json.dumps(encode_state(checkpoint, tensors), allow_nan=True)
        part = target.with_name(target.name + ".part")
        save_file(tensors, part, metadata={_STATE: state})
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, target)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; raises UserError where the file is not one of ours or is cut short."""
        device = str(map_location) if isinstance(map_location, str | torch.device) else "cpu"
        try:
            with safe_open(path, framework="pt", device=device) as file:
                state = (file.metadata() or {}).get(_STATE)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, FileNotFoundError) as error:
            raise UserError(f"{path}: no readable checkpoint ({error}).", "Delete it to go on without it.") from error
        if state is None:
            raise UserError(f"{path}: holds weights but no training state.", "Give a checkpoint written by training.")
        decoded: dict[str, Any] = decode_state(json.loads(state), tensors)
        return decoded

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint; a missing one is no error."""
        Path(path).unlink(missing_ok=True)
