"""Portable arithmetic: processes are started with what it needs, and none pretends without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from data.errors import UserError
from orchestration import arithmetic
from orchestration.plan import device_class_of
from orchestration.workspace import Workspace

CHECK = (
    "import json, torch, numpy as np; from orchestration import arithmetic;"
    "from orchestration.workspace import Workspace;"
    "arithmetic.hold(Workspace.current().params());"
    "wide = [k for k, v in np._core._multiarray_umath.__cpu_features__.items() if v and k == 'X86_V4'];"
    "print(json.dumps([torch.backends.cpu.get_cpu_capability(), bool(torch.backends.mkldnn.enabled), wide]))"
)


def test_process_started_inside_computes_portably(workspace: Workspace, change_params: Callable[..., None]) -> None:
    change_params(workspace, {"compute.portable": True, "compute.accelerator": "cpu"})
    params, before = workspace.params(), dict(os.environ)
    assert device_class_of(params, "original_network").split("/")[2:] == ["avx2-portable", "threads=1"]
    with arithmetic.held(params):
        done = subprocess.run([sys.executable, "-c", CHECK], cwd=workspace.root, capture_output=True, text=True)
    assert json.loads(done.stdout)[1:] == [False, []], done.stderr
    assert json.loads(done.stdout)[0] in ("AVX2", "DEFAULT")
    assert dict(os.environ) == before


def test_process_started_without_it_says_so(workspace: Workspace, change_params: Callable[..., None]) -> None:
    change_params(workspace, {"compute.portable": True})
    with pytest.raises(UserError, match="started without ATEN_CPU_CAPABILITY"):
        arithmetic.hold(workspace.params())


def test_nothing_is_held_unless_asked_for(workspace: Workspace) -> None:
    assert arithmetic.variables(workspace.params()) == {}
    arithmetic.hold(workspace.params())
    assert "avx2-portable" not in device_class_of(workspace.params(), "original_network")
