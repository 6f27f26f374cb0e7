"""Between node and head while a step runs: progress, metrics and pictures one way, the wish to stop the other."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.progress import Progress

SEND_EVERY_S = 0.5


@dataclass(frozen=True)
class Began:
    """A node has taken the step up: its name, its devices, the checkpoint's number that it goes on from (0: none)."""

    node: str
    devices: tuple[str, ...]
    resumed: int


@dataclass(frozen=True)
class Kept:
    """Checkpoint `number` is in the store, complete."""

    number: int


@dataclass(frozen=True)
class Measured:
    """Metrics of one step."""

    metrics: Mapping[str, float]
    step: int
    at_ms: int | None


@dataclass(frozen=True)
class Pictured:
    """An H×W×3 uint8 picture."""

    key: str
    image: np.ndarray[Any, Any]
    step: int


Event = Progress | Began | Kept | Measured | Pictured


class Mailbox:
    """What lies between node and head: an actor on the head's machine."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._stop = False

    def tell(self, events: Sequence[Event]) -> bool:
        """Leave events for the head; whether it wants the step to stop."""
        self._events.extend(events)
        return self._stop

    def take(self) -> list[Event]:
        """All events since the last time, in their order."""
        taken, self._events = self._events, []
        return taken

    def stop(self) -> None:
        """Ask the node to save and leave."""
        self._stop = True


class Sender:
    """The node's end: events are sent in batches by a thread, so that a step never waits for the head.

    Of progress only the newest report of a batch is sent. Once the head wants the step to stop, or is gone, `stop_file`
    is there.
    """

    def __init__(self, mailbox: Any, stop_file: Path) -> None:
        self._mailbox, self._stop_file = mailbox, stop_file
        self._events: list[Event] = []
        self._progress: Progress | None = None
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._send_on, name="channel", daemon=True)
        self._thread.start()

    def report(self, progress: Progress) -> None:
        """Take one progress report."""
        with self._lock:
            self._progress = progress

    def metrics(self, metrics: Mapping[str, float], step: int = 0, at_ms: int | None = None) -> None:
        """Send metrics of one step, to be logged with their own time (ms since 1970)."""
        self.tell(Measured(dict(metrics), step, at_ms))

    def image(self, key: str, image: np.ndarray[Any, Any], step: int = 0) -> None:
        """Send an H×W×3 uint8 picture."""
        self.tell(Pictured(key, image, step))

    def tell(self, event: Event) -> None:
        """Send one event, after those before it."""
        with self._lock:
            self._events.append(event)

    def close(self) -> None:
        """Send what is left, and end."""
        self._ended.set()
        self._thread.join()

    def _send_on(self) -> None:
        while not self._ended.wait(SEND_EVERY_S):
            if not self._send():
                return
        self._send()

    def _send(self) -> bool:
        """Whether the head is there."""
        import ray

        with self._lock:
            events, self._events = self._events, []
            if self._progress is not None:
                events, self._progress = [*events, self._progress], None
        try:
            wants_stop = bool(ray.get(self._mailbox.tell.remote(events)))
        except ray.exceptions.RayError:
            self._stop_file.touch()
            return False
        if wants_stop:
            self._stop_file.touch()
        return True
