"""How a computation is asked to stop, and how it says that it did."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupted(Exception):  # noqa: N818 – not an error: the state is saved
    """The computation saved its state and left; the same call goes on from there."""


class StopRequest:
    """True, when called, once SIGTERM, SIGINT or `stop()` asked for a stop; a second SIGINT interrupts at once.

    Signals are heard between `__enter__` and `__exit__`, in the main thread alone: handlers can be set nowhere else.
    """

    def __init__(self, stop: Callable[[], bool] | None = None) -> None:
        self.stop = stop
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        return self.asked or (self.stop is not None and self.stop())

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        at: TracebackType | None = None,
    ) -> None:
        for number, previous in self._before.items():
            signal.signal(number, previous)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
