"""The thread that sends: one per process and workspace. Whoever trains only appends to a spool, and never waits."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable

from orchestration.tracking.delivery import Delivery
from orchestration.tracking.runs import Tracker, open_tracker
from orchestration.tracking.server import identity, reason, require_answer
from orchestration.tracking.spool import Spool
from orchestration.tracking.spool_folder import SpoolError, folders
from orchestration.workspace import Workspace

LOGGER = logging.getLogger(__name__)
FIRST_RETRY_S, LAST_RETRY_S = 0.25, 5.0
LEAVE_S, JOIN_S = 1.0, 0.5
IDLE_S = 600.0
"""A bound on one replay; whatever it leaves is sent by the next."""


class Sender:
    """Sends the spools of this process in order, and what dead processes left when it has nothing else to do."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._changed = threading.Condition()
        self._live: list[Delivery] = []
        self._left: list[Delivery] | None = None  # None: not looked for yet
        self._tracker: Tracker | None = None
        self._failures = 0
        self._away = ""
        self._stopped = False
        self._again = threading.Event()
        self._thread = threading.Thread(target=self._run, name="editloom-tracking", daemon=True)
        self._thread.start()
        atexit.register(self.leave)

    @property
    def away(self) -> str:
        """Why nothing can be sent just now; empty when it can."""
        return self._away

    def add(self, spool: Spool) -> Delivery:
        """Send this spool from now on."""
        delivery = Delivery(self._ws, spool)
        with self._changed:
            self._live.append(delivery)
        return delivery

    def wake(self) -> None:
        """Something was appended."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, happened: Callable[[], bool], seconds: float) -> bool:
        """Wait until something was sent, the next attempt fails, or the time is up; returns whether it happened."""
        with self._changed:
            failures = self._failures
            self._again.set()
            self._changed.notify_all()
            self._changed.wait_for(lambda: happened() or self._failures > failures, seconds)
            return happened()

    def idle(self) -> bool:
        """Whether everything that this process holds was sent."""
        return all(one.spool.drained for one in self._live) and not self._left

    def leave(self) -> None:
        """End the thread; what is not sent stays in its spool for the next process. At most 1.5 s."""
        with self._changed:
            live = list(self._live)
        if not self._away:
            self.wait_for(lambda: all(one.spool.drained for one in live), LEAVE_S)
        for one in live:
            one.spool.sync()
        with self._changed:
            self._stopped = True
            self._again.set()
            self._changed.notify_all()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        delay_s = FIRST_RETRY_S
        while not self._stopped:
            with self._changed:
                self._changed.wait_for(self._has_work)
            if self._stopped:
                return
            try:
                self._round()
                delay_s = FIRST_RETRY_S
            except Exception as error:  # whatever it is: the step goes on, and its spool keeps what it told
                self._failed(error)
                self._again.wait(delay_s)
                self._again.clear()
                delay_s = min(LAST_RETRY_S, 2 * delay_s)

    def _has_work(self) -> bool:
        waiting = any(not one.spool.drained or one.complete for one in self._live)
        return self._stopped or waiting or (bool(self._live) and self._left is None) or bool(self._left)

    def _round(self) -> None:
        tracker = self._connected()
        for one in list(self._live):
            self._send_all(one, tracker)
        self._succeeded()
        if self._left is None:
            self._left = list(left_behind(self._ws))
        if self._left:
            self._send_left(self._left, tracker)

    def _send_all(self, one: Delivery, tracker: Tracker) -> None:
        while not one.spool.drained and not self._stopped:
            if one.send(tracker) == 0 and not one.spool.drained:
                raise OSError("there is no room on the disk for what was told")
            self._succeeded()
        if one.complete:
            one.spool.remove()
            with self._changed:
                self._live.remove(one)

    def _send_left(self, left: list[Delivery], tracker: Tracker) -> None:
        """One batch of what a dead process left; then whoever lives is looked at again."""
        one = left[0]
        one.send(tracker)
        if one.spool.drained:
            one.close(tracker)
            one.spool.remove()
            left.pop(0)

    def _connected(self) -> Tracker:
        if self._tracker is None:
            self._tracker = open_tracker(self._ws)
        elif self._away:
            require_answer(self._ws.mlflow_uri)
        return self._tracker

    def _succeeded(self) -> None:
        with self._changed:
            self._away = ""
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        if not self._away:
            LOGGER.warning("MLflow cannot be told (%s); it is kept, and told later", reason(error))
        with self._changed:
            self._away = reason(error)
            self._failures += 1
            live = list(self._live)
            self._changed.notify_all()
        for one in live:
            one.spool.sync()


_SENDERS: dict[tuple[int, str, str], Sender] = {}
_GUARD = threading.Lock()


def sender_of(ws: Workspace) -> Sender:
    """The sender of this process for a workspace and its server; a forked process has one of its own."""
    key = (os.getpid(), str(ws.root), ws.mlflow_uri)
    with _GUARD:
        if key not in _SENDERS:
            _SENDERS[key] = Sender(ws)
        return _SENDERS[key]


def settle_sender(ws: Workspace) -> None:
    """Wait until this process's own sender has nothing left to send, as long as the server answers."""
    known = _SENDERS.get((os.getpid(), str(ws.root), ws.mlflow_uri))
    if known is not None:
        known.wait_for(known.idle, IDLE_S)


def left_behind(ws: Workspace) -> list[Delivery]:
    """The spools for this server that dead processes left; taken, so that nobody else sends them."""
    found = []
    for folder in folders(ws):
        try:
            spool = Spool.take(folder)
        except SpoolError as error:
            LOGGER.warning("%s", error)
            continue
        if spool is None:
            continue
        if spool.header.server == identity(ws):
            found.append(Delivery(ws, spool))
        else:
            spool.release()
    return found
