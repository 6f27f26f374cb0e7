"""One build of an asset at a time, whoever asks for it: the page, the daemon, or the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from orchestration.graph import AssetId
from orchestration.store import dvc
from orchestration.store.publish import LOCKS
from orchestration.workspace import Workspace
from training.interruption import Interrupted

POLL_S = 0.25


@contextmanager
def building(
    ws: Workspace, asset_id: AssetId, run: str, should_stop: Callable[[], bool], on_wait: Callable[[str], None]
) -> Iterator[None]:
    """Be the only one that builds `asset_id`, from the look at what stands to the end of its publication.

    A second one waits, says for whom, and then finds what the first one made. It is taken before a device, and before
    the lock of the publication. Under `dvc repro` DVC's own locks do this; to wait here while it holds them would
    block whoever commits to DVC. Raises Interrupted when asked to stop while it waits.
    """
    if dvc.under_repro():
        yield
        return
    (ws.root / LOCKS).mkdir(parents=True, exist_ok=True)
    # Dagster may go on with a step's generator in another thread than began it.
    lock = FileLock(ws.root / LOCKS / f"build-{asset_id.stage}.lock", thread_local=False)
    holder = ws.root / LOCKS / f"build-{asset_id.stage}.holder"
    _acquire(lock, lambda: on_wait(_told(holder)), should_stop, str(asset_id))
    try:
        holder.write_text(f"process {os.getpid()}, run {run[:8]}, since {time.strftime('%H:%M:%S')}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, on_wait: Callable[[], None], should_stop: Callable[[], bool], name: str) -> None:
    told = False
    while True:
        try:
            lock.acquire(timeout=POLL_S if told else 0)
            return
        except Timeout:
            if should_stop():
                raise Interrupted(f"{name} was stopped while another process built it") from None
        if not told:
            on_wait()
            told = True


def _told(holder: os.PathLike[str]) -> str:
    try:
        with open(holder) as file:
            return f"for {file.read()}, which builds it"
    except FileNotFoundError:
        return "for another process, which builds it"
