"""The head's side of a bulk step on Ray: inputs to the store, the task to a node, what it made back into staging.

Reuse, publication, ledger and tracking stay here: a node knows nothing of them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from data.errors import UserError
from orchestration.attempt import Attempt, write_document
from orchestration.graph import AssetId, inputs_of
from orchestration.outside_files import FILE, own_files
from orchestration.params import Params
from orchestration.ray_cluster import cluster
from orchestration.ray_cluster.channel import Began, Event, Kept, Mailbox, Measured, Pictured
from orchestration.ray_cluster.checkpoints import Pusher
from orchestration.ray_cluster.code import code_digest
from orchestration.ray_cluster.options import ray_address
from orchestration.ray_cluster.request import Ended, Request
from orchestration.ray_cluster.space import Space, open_space
from orchestration.ray_cluster.store import AttemptStore, listed
from orchestration.remote.place import shown_settings
from orchestration.step import Outcome, Step
from orchestration.store.staging import remove
from orchestration.workspace import Workspace
from training.interruption import Interrupted
from training.progress import Progress

POLL_S = 0.5
EVIDENCE_FILE = "ray.json"


def build_remotely(attempt: Attempt, step: Step) -> Outcome:
    """Build on a node of the cluster what `step` describes: payload in `step.out`, documents in `step.evidence`.

    Raises what the build raises (UserError, Interrupted), and UserError where cluster or store cannot do it.
    """
    cluster.connect(ray_address())
    space = open_space(attempt.ws, attempt.params.compute.ray.store)
    store = space.attempt(attempt.id, step.workdir.name)
    sources = dict(_sources(attempt))
    request = _request(attempt, space, store, sources)
    space.claim(request)
    for ref in request.files:
        space.inputs.push(sources[ref.path], ref.sha256)
    _take_along(store, step.workdir)
    ended = _ended(attempt, step, request)
    if ended.mistake is not None:
        raise UserError(*ended.mistake)
    if ended.outcome is None:
        raise Interrupted(ended.stopped or f"{attempt.id} stopped")
    store.fetch_tree(ended.payload, step.out)
    store.fetch_tree(ended.evidence, step.evidence)
    return ended.outcome


def forget(ws: Workspace, params: Params, asset_id: AssetId, digest: str) -> None:
    """Remove from the store what an attempt kept there, once its payload is published; a store away is for later."""
    with suppress(UserError):
        space = open_space(ws, params.compute.ray.store)
        space.release(space.attempt(asset_id, digest))


def _sources(attempt: Attempt) -> Iterator[tuple[str, Path]]:
    """(path relative to the workspace, file) of all that the build reads besides the settings."""
    root = attempt.ws.root
    for dep in inputs_of(attempt.id):
        folder = root / dep.path
        yield from ((f.relative_to(root).as_posix(), f) for f in sorted(folder.rglob("*")) if f.is_file())
    for name, path in own_files(root, attempt.params, attempt.id).items():
        if path.resolve().is_relative_to(root):
            yield path.resolve().relative_to(root).as_posix(), path
        elif name.startswith(FILE):
            hint = "With the executor ray, put it in the workspace and name it by a relative path."
            raise UserError(f"{path}, which params.yaml names, is outside of {root}.", hint)


def _request(attempt: Attempt, space: Space, store: AttemptStore, sources: Mapping[str, Path]) -> Request:
    return Request(
        wanted=attempt.wanted,
        params=attempt.params.model_dump(mode="json"),
        files=tuple(listed(attempt.ws.root, sources)),
        store=shown_settings(attempt.ws.root, space.place),
        inputs=space.inputs.folder,
        attempt=store.folder,
    )


def _take_along(store: AttemptStore, workdir: Path) -> None:
    """What an attempt on this machine left goes on on the cluster, unless the cluster already has something."""
    if not store.place.names(store.objects.folder):
        spool = workdir.with_name(f"{workdir.name}.spool")
        Pusher(store, workdir, spool).push()
        remove(spool)


def _ended(attempt: Attempt, step: Step, request: Request) -> Ended:
    """Submit the task and pass on what it tells, until it has ended."""
    import ray

    from orchestration.ray_cluster.node import execute

    mailbox = cluster.here(Mailbox)
    task: Any = ray.remote(max_calls=1)(execute)
    options = cluster.task_options(attempt.params, attempt.wanted)
    room = cluster.Room(cluster.asked_for(attempt.params, attempt.wanted), attempt.params.compute.ray.wait_s)
    told = _Told(step)
    ending = task.options(**options).remote(code_digest(attempt.id.asset), request.model_dump_json(), mailbox)
    try:
        with _asked_to_stop() as asked:
            while not ray.wait([ending], timeout=POLL_S)[0]:
                told.pass_on(ray.get(mailbox.take.remote()))
                room.check()
                if asked() or step.should_stop():
                    _stop(mailbox, told)
        ended = ray.get(ending)
        told.pass_on(ray.get(mailbox.take.remote()))
        assert isinstance(ended, Ended)
        return ended
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ModuleNotFoundError):
            hint = "Install the same version there."
            raise UserError(f"A Ray node cannot run Editloom: {error.cause}.", hint) from None
        raise
    finally:
        with suppress(ray.exceptions.RayError):
            ray.cancel(ending, force=True)
        ray.kill(mailbox)


def _stop(mailbox: Any, told: _Told) -> None:
    """Ask the node to save and leave; a task that no node took up yet is only taken back. Raises Interrupted then."""
    mailbox.stop.remote()
    if not told.ran:
        raise Interrupted("stopped before a node of the cluster was free")


@dataclass
class _Told:
    """Passes on what a node tells to whoever watches and to MLflow, and notes in the evidence who worked on it."""

    step: Step
    ran: list[dict[str, Any]] = field(default_factory=list)

    def pass_on(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Progress):
                self.step.report(event)
            elif isinstance(event, Measured):
                self.step.run.metrics(event.metrics, event.step, event.at_ms)
            elif isinstance(event, Pictured):
                self.step.run.image(event.key, event.image, event.step)
            else:
                self._note(event)

    def _note(self, event: Began | Kept) -> None:
        if isinstance(event, Began):
            self.ran.append({**asdict(event), "at": datetime.now(UTC).isoformat(timespec="seconds"), "checkpoint": 0})
        elif self.ran:
            self.ran[-1]["checkpoint"] = event.number
        write_document(self.step.evidence / EVIDENCE_FILE, {"ran": self.ran})


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Hear SIGTERM and SIGINT instead of ending by them, as a training here does; a second SIGINT ends at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():  # handlers can be set nowhere else
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked.is_set
    finally:
        for number, known in before.items():
            signal.signal(number, known)
