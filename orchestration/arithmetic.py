"""`compute.portable`: bulk steps held to arithmetic that every x86-64 processor with AVX2 does alike.

Numeric libraries choose their kernels by the processor, and kernels differ in the order of their sums. Each library has
a variable that it reads once, at its start: so a process is started with them. oneDNN is switched off as a whole: it
chooses by cache sizes too, and PyTorch asks the processor itself whether to give it bfloat16.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module

from data.errors import UserError
from orchestration.params import Params


def variables(params: Params) -> Mapping[str, str]:
    """What the environment of a process has to say before it loads a numeric library; nothing unless portable."""
    if not params.compute.portable:
        return {}
    return {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": " ".join(_beyond_avx2()),
    }


@contextmanager
def held(params: Params) -> Iterator[None]:
    """Processes started inside compute portably where the settings ask for it; this one does not."""
    before = {name: os.environ.get(name) for name in variables(params)}
    os.environ.update(variables(params))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def hold(params: Params) -> None:
    """Hold this process's torch to portable arithmetic where the settings ask for it.

    Raises UserError when the process was started without the variables: its libraries have chosen their kernels.
    """
    missing = [name for name, value in variables(params).items() if os.environ.get(name) != value]
    if missing:
        raise UserError(
            f"compute.portable is true, but this process was started without {', '.join(missing)}.",
            "Start it by `editloom run`, `editloom materialize` or a fresh `editloom ui`.",
        )
    if params.compute.portable:
        import torch

        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]


def _beyond_avx2() -> list[str]:
    """NumPy's own names, which change with its version, of the kernels that wider processors would get."""
    core = import_module("numpy._core._multiarray_umath")
    return [name for name in core.__cpu_dispatch__ if name.startswith(("AVX512", "X86_V4"))]
