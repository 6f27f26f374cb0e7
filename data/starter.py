"""A process that ends after the one that started it, however that one came to its end.

The operating system tells no child of its parent's death, and a pool's process holds both ends of the pipe it reads.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import wait


def when_starter_ends(act: Callable[[], None]) -> None:
    """Call `act`, in a thread of its own, once the process that started this one by `multiprocessing` is gone.

    Raises RuntimeError in a process that was started in another way.
    """
    starter = multiprocessing.parent_process()
    if starter is None:
        raise RuntimeError("this process was not started by `multiprocessing`")

    def watch() -> None:
        wait([starter.sentinel])
        act()

    threading.Thread(target=watch, name="watch over the starter", daemon=True).start()


def end_with_starter() -> None:
    """End this process at once when its starter is gone; an initializer for pools."""
    when_starter_ends(lambda: os._exit(1))
