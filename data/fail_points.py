"""Named places in a computation and its publication at which a process can be killed, to show that recovery works."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

VARIABLE = "EDITLOOM_FAIL_AT"
HOLD_VARIABLE = "EDITLOOM_FAIL_HOLD"
_reached: Counter[str] = Counter()


def asked_for(name: str) -> bool:
    """Whether the environment names this point: `NAME`, or `NAME:3` for the third time that a process comes by."""
    return os.environ.get(VARIABLE, "").partition(":")[0] == name


def reach(name: str) -> None:
    """Die at once, as by a power cut, when the environment asks for it at this point.

    With EDITLOOM_FAIL_HOLD naming a file, the first process to come by writes its id there and stops instead, so that
    somebody outside kills it, and whom else they like; the processes after it go on.
    """
    if not asked_for(name):
        return
    _reached[name] += 1
    if _reached[name] != int(os.environ[VARIABLE].partition(":")[2] or 1):
        return
    held = os.environ.get(HOLD_VARIABLE)
    if held is None:
        os.kill(os.getpid(), signal.SIGKILL)
    elif _is_first(Path(held)):
        os.kill(os.getpid(), signal.SIGSTOP)


def _is_first(held: Path) -> bool:
    """Write this process's id down unless another one's stands there; whoever reads the file finds it whole."""
    with tempfile.NamedTemporaryFile("w", dir=held.parent, prefix=f"{held.name}.") as own:
        own.write(str(os.getpid()))
        own.flush()
        with suppress(FileExistsError):
            os.link(own.name, held)
            return True
    return False
