"""Named places in a step and its publication at which a test can kill the process, to show that recovery works."""

from __future__ import annotations

import os
import signal

VARIABLE = "EDITLOOM_FAIL_AT"


def reach(name: str) -> None:
    """Die at once, as by a power cut, when the environment asks for it at this point."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
