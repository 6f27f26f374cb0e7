"""Processes of a pool end with the one that works with them, even when that one is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data.starter import when_starter_ends

POOL = """
import time
from data.parallel import ordered

if __name__ == "__main__":
    list(ordered(time.sleep, [600.0] * 4, 2))
"""
RENDERING = """
from data.render import draw_scene, draw_subject
from data.render.renderer import render_many

if __name__ == "__main__":
    scene = draw_scene(1, draw_subject(1))
    while True:
        render_many([scene] * 256, processes=2)
"""
PATIENCE_S = 60.0


@pytest.mark.parametrize("program", [POOL, RENDERING], ids=["ordered", "render_many"])
def test_pool_of_a_killed_process_ends_too(tmp_path: Path, program: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)
    running = subprocess.Popen([sys.executable, str(script)])
    pool = wait_for_pool(running)
    running.send_signal(signal.SIGKILL)
    running.wait()
    gone, alive = psutil.wait_procs(pool, timeout=PATIENCE_S)
    assert len(gone) == 2 and not alive


def test_process_that_nobody_started_has_no_starter_to_watch() -> None:
    with pytest.raises(RuntimeError, match="multiprocessing"):
        when_starter_ends(lambda: None)


def wait_for_pool(running: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The pool's two processes, once they are through with their imports."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and running.poll() is None:
        children = psutil.Process(running.pid).children()
        found = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if len(found) == 2 and all(child.num_threads() >= 2 for child in found):
            return found
        time.sleep(0.05)
    raise AssertionError("the pool did not come")
