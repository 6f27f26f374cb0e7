"""A node's side of a bulk step: a workspace laid out from the store, the build, and what it made back to the store.

It runs in a process that Ray starts for this one step. It needs Editloom installed, and of the head's disk nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data.errors import UserError
from orchestration import arithmetic, telemetry
from orchestration.compute.inventory import CUDA_VARIABLE
from orchestration.compute.leases import VISIBLE_VARIABLE, Lease
from orchestration.compute.meter import Meter, holding_of
from orchestration.graph import node
from orchestration.outside_files import outside_files
from orchestration.params import Params, section_digest
from orchestration.plan import own_device_class
from orchestration.ray_cluster.channel import Began, Kept, Sender
from orchestration.ray_cluster.checkpoints import Pusher, restore
from orchestration.ray_cluster.code import code_digest
from orchestration.ray_cluster.node_files import cached, task_folder
from orchestration.ray_cluster.request import Ended, Request
from orchestration.ray_cluster.store import AttemptStore, Objects, inside
from orchestration.remote.place import Place, place_at
from orchestration.step import Outcome, Step
from orchestration.worker import STATUS_DIR_VARIABLE, STOP_FILE
from orchestration.workspace import PARAMS_FILE, VARIABLE, Workspace
from training.interruption import Interrupted

CARDS = Path("/dev")


@dataclass(frozen=True)
class _Devices:
    """What Ray gave this task: its node and the devices' numbers there, and the lease that the build sees."""

    node: str
    names: tuple[str, ...]
    lease: Lease


def execute(code: str, text: str, mailbox: Any) -> Ended:
    """Build what a request (its JSON) describes; `code` is the digest of the head's code, `mailbox` its actor.

    What a person has to hear comes back as a value. A fault of the code raises.
    """
    telemetry.silence()
    try:
        asset = str(yaml.safe_load(text)["wanted"]["asset"])
        if code_digest(asset) != code:
            raise UserError(
                f"The Ray node {platform.node()} has other code for {asset} than the machine that sent the step.",
                "Install the same version of Editloom on both, and start the node again.",
            )
        with task_folder() as folder:
            return _executed(Request.model_validate_json(text), folder, mailbox)
    except UserError as error:
        return Ended(mistake=(error.message, error.hint))
    except Interrupted as interruption:
        return Ended(stopped=str(interruption))


def _executed(request: Request, folder: Path, mailbox: Any) -> Ended:
    """The build in a folder of its own; checkpoints go to the store while it runs, and once more when it is left."""
    devices = _devices(request.wanted.device_class)
    place = place_at(request.store)
    ws, params = _laid_out(request, place, folder / "workspace")
    _check_class(request, params)
    store, workdir = AttemptStore(place, request.attempt), folder / "work"
    workdir.mkdir()
    number = restore(store, workdir)
    stop_file = _watched_stop(folder)
    sender = Sender(mailbox, stop_file)
    sender.tell(Began(devices.node, devices.names, number))
    pusher = Pusher(store, workdir, folder / "spool", lambda number: sender.tell(Kept(number)))
    try:
        with _saved(pusher):
            outcome = _built(_step(request, ws, params, folder, sender, devices.lease), sender)
        return Ended(outcome, store.push_tree(folder / "payload"), store.push_tree(folder / "evidence"))
    finally:
        sender.close()


def _built(step: Step, sender: Sender) -> Outcome:
    """The asset's own function, metered."""
    from orchestration.assets import ALL_ASSETS
    from orchestration.building import BUILDS

    assert ALL_ASSETS, "the assets' modules fill BUILDS"
    _pin_arithmetic(step.params)
    with Meter(step.workdir, holding_of(step.params, step.id.asset, step.lease.accelerator), sender.metrics) as meter:
        outcome = BUILDS[step.id.asset](replace(step, report=meter.through(step.report)))
        return replace(outcome, usage=meter.stop())


def _step(request: Request, ws: Workspace, params: Params, folder: Path, sender: Sender, lease: Lease) -> Step:
    payload, evidence = folder / "payload", folder / "evidence"
    payload.mkdir()
    evidence.mkdir()
    own = params.for_attribute(request.id.partition) if request.id.partition else params
    return Step(ws, own, request.id, payload, folder / "work", evidence, sender, sender.report, lease)


@contextmanager
def _saved(pusher: Pusher) -> Iterator[None]:
    """Checkpoints travel while the step runs; when it is stopped or fails, its last state still does."""
    pusher.start()
    try:
        yield
    except BaseException:
        pusher.stop()
        pusher.push()
        raise
    pusher.stop()


def _devices(device_class: str) -> _Devices:
    """What Ray gave this task. Where steps compute on processors, GPUs of Ray's stand for groups of threads."""
    import ray

    context = ray.get_runtime_context()
    name = f"{platform.node()} ({context.get_node_id()[:8]})"
    indices = tuple(str(one) for one in context.get_accelerator_ids().get("GPU", []))
    os.environ[VISIBLE_VARIABLE] = ",".join(indices)
    numbers = tuple(range(len(indices)))
    if not (device_class.startswith("cuda") and any(CARDS.glob("nvidia[0-9]*"))):
        os.environ[CUDA_VARIABLE] = ""
        return _Devices(name, indices, Lease(numbers, "cpu"))
    return _Devices(name, indices, Lease(numbers, "cuda", tuple(os.environ.get(CUDA_VARIABLE, "").split(","))))


def _laid_out(request: Request, place: Place, root: Path) -> tuple[Workspace, Params]:
    """A workspace with what the step reads, and nothing else; it is the current one.

    Raises UserError where the store is not the head's, or the settings and files say something else here than there.
    """
    inputs, wanted = Objects(place, request.inputs), request.wanted
    if not place.has(f"{request.attempt}/request.json"):
        hint = "Set compute.ray.store to a DVC remote that every node reaches, such as S3 or a shared folder."
        raise UserError(f"The Ray node {platform.node()} does not find the step in the store {place.url}.", hint)
    for ref in request.files:
        cached(inputs, ref.sha256, inside(root, ref.path))
    (root / PARAMS_FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / PARAMS_FILE).write_text(yaml.safe_dump(dict(request.params)), encoding="utf-8")
    os.environ[VARIABLE] = str(root)
    ws = Workspace.at(root)
    params = ws.params()
    files = outside_files(ws.root, params, request.id)
    differing = [name for name, digest in files.items() if wanted.inputs.get(name) != digest]
    if section_digest(params, node(wanted.asset).params, wanted.partition) != wanted.params_digest:
        differing.append(PARAMS_FILE)
    if differing:
        hint = "Install the same versions of Editloom and of the user's own modules on both."
        raise UserError(f"{', '.join(differing)}: other on the Ray node {platform.node()} than on its head.", hint)
    return ws, params


def _check_class(request: Request, params: Params) -> None:
    """Equal inputs give equal bytes on one class of devices only: another one's would be passed off as it."""
    mine, wanted = own_device_class(params, request.wanted.asset), request.wanted.device_class
    if mine != wanted:
        raise UserError(
            f"The Ray node {platform.node()} is of the device class {mine}; {request.id} is wanted on {wanted}.",
            "Set compute.ray.device_class to what the nodes are, or keep nodes of other classes out of the cluster.",
        )


def _pin_arithmetic(params: Params) -> None:
    arithmetic.hold(params)
    import torch

    torch.set_num_threads(params.compute.threads_per_device)


def _watched_stop(folder: Path) -> Path:
    """Where `Step.should_stop` looks, on this machine."""
    (folder / "run" / "status").mkdir(parents=True)
    os.environ[STATUS_DIR_VARIABLE] = str(folder / "run" / "status")
    return folder / "run" / STOP_FILE
