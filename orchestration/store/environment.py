"""What a materialization ran in: the software as one digest, and the class of its device."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

PORTABLE = "avx2-portable"
"""What stands for the instruction set of a step that is held to what every AVX2 processor does alike."""
_INSTRUCTION_SETS = ("amx_tile", "avx512_bf16", "avx512_vnni", "avx512f", "avx2", "avx", "sve", "asimd")


@cache
def installed() -> tuple[str, ...]:
    """`name==version` of every installed distribution, sorted, and the Python that runs them."""
    found = {f"{dist.name.lower().replace('_', '-')}=={dist.version}" for dist in distributions()}
    return (f"python=={platform.python_version()}", *sorted(found))


@cache
def environment_digest() -> str:
    """sha256 over `installed()`."""
    return hashlib.sha256("\n".join(installed()).encode()).hexdigest()


def device_class(accelerator: str, threads: int, *, portable: bool = False) -> str:
    """What arithmetic a bulk step runs on: two machines of one class give the same bytes. Imports no torch.

    On a CPU: architecture, widest instruction set (or `portable`) and threads; on CUDA: the card's name.
    """
    if accelerator == "cuda":
        return f"cuda/{_cuda_name()}"
    return f"cpu/{platform.machine()}/{PORTABLE if portable else _instruction_set()}/threads={threads}"


@cache
def _instruction_set() -> str:
    """The widest set that numeric libraries pick their kernels by."""
    flags = _cpu_flags()
    return next((name for name in _INSTRUCTION_SETS if name in flags), "base")


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


@cache
def _cuda_name() -> str:
    """The first card's model, as its driver tells it without a CUDA context."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text().splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return _ask_nvidia_smi() or "unknown"


def _ask_nvidia_smi() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else ""
