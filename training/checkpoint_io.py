"""Checkpoints as one safetensors file: tensors as tensors, the rest of the state as JSON. Never a pickle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data import fail_points
from data.errors import UserError
from data.whole_file import written_whole

_STATE = "state"  # the one metadata key: with several, their order in the file is random
_TENSOR, _MAP, _TUPLE = "__tensor__", "__map__", "__tuple__"


class DamagedCheckpointError(UserError):
    """A checkpoint that is cut short, or whose bytes are not those that were written."""


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
    """Lightning's checkpoint plugin: written beside its place, flushed to the disk, then renamed.

    The state's text begins with the sha256 of itself and of all tensors, which reading compares.
    """

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; a crash leaves the file as it was or as it shall be.

        Raises DiskFullError where there is no room: the file is then as it was, and nothing is left beside it.
        """
        tensors: dict[str, torch.Tensor] = {}
        state = json.dumps(encode_state(checkpoint, tensors), allow_nan=True)
        with written_whole(Path(path), "a checkpoint") as part:
            save_file(tensors, part, metadata={_STATE: f"{_digest(state, tensors)}\n{state}"})
            fail_points.reach("checkpoint-part-written")

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; raises DamagedCheckpointError where it is cut short or not as it was written."""
        device = str(map_location) if isinstance(map_location, str | torch.device) else "cpu"
        try:
            with safe_open(path, framework="pt", device=device) as file:
                text = (file.metadata() or {}).get(_STATE, "")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            raise _damaged(path, f"no readable checkpoint ({error})") from error
        digest, _, state = text.partition("\n")
        if not state:
            raise _damaged(path, "holds no training state")
        if digest != _digest(state, tensors):
            raise _damaged(path, "its bytes are not those that were written")
        decoded: dict[str, Any] = decode_state(json.loads(state), tensors)
        return decoded

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint; a missing one is no error."""
        Path(path).unlink(missing_ok=True)


def _digest(state: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256, in hexadecimal, of the state's text and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name].cpu()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)  # NumPy knows no bfloat16
    return digest.hexdigest()


def _damaged(path: str | Path, how: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{path}: {how}.", "Delete it to go on without it.")
