"""The Ray cluster: reaching it, and what a bulk step asks of a node."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from data.errors import UserError
from orchestration import arithmetic, telemetry
from orchestration.compute.requests import request_of
from orchestration.params import Params
from orchestration.ray_cluster.options import AUTO, TOKEN_HINT, check_answers
from orchestration.store.records import Wanted

NAMESPACE = "editloom"
LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class Asked:
    """What a node must have free for a step: GPUs (or what stands for them), CPU threads, bytes of memory."""

    gpus: int
    cpus: int
    memory_bytes: int

    def __str__(self) -> str:
        return f"{self.gpus} GPUs, {self.cpus} CPUs and {self.memory_bytes / 1e9:g} GB of memory on one node"

    def fits(self, has: Mapping[str, float]) -> bool:
        """Whether a node with these resources could ever hold the step."""
        known = (has.get("GPU", 0.0), has.get("CPU", 0.0), has.get("memory", 0.0))
        return all(have >= want for have, want in zip(known, (self.gpus, self.cpus, self.memory_bytes), strict=True))


def connect(address: str) -> None:
    """Connect this process to the cluster, once; its signal handlers stay as they are.

    Raises UserError where there is none, it lets this process not in, or Ray is not installed.
    """
    telemetry.silence()
    try:
        import ray
    except ImportError:
        raise UserError("Ray is not installed here.", "Install it: pip install 'editloom[ray]'.") from None
    if ray.is_initialized():
        return
    check_answers(address)
    try:
        with _handlers_kept():
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except ray.exceptions.AuthenticationError as error:
        raise UserError(f"The Ray cluster at {address} asks for a token: {error.message}.", TOKEN_HINT) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = "answers, but lets this process not in (a wrong token, or another version of Ray)"
        what = f"The Ray cluster at {address} {said}" if address != AUTO else "This machine is no node of a Ray cluster"
        raise UserError(f"{what}: {error}", TOKEN_HINT) from None


def asked_for(params: Params, wanted: Wanted) -> Asked:
    """What a bulk step asks for, by compute.requests; of a card's memory Ray knows nothing."""
    request = request_of(params, wanted.asset)
    memory_gb = 0.0 if wanted.device_class.startswith("cuda") else request.memory_gb or params.compute.memory_gb
    return Asked(request.devices, request.devices * params.compute.threads_per_device, int(memory_gb * 1e9))


def task_options(params: Params, wanted: Wanted) -> dict[str, Any]:
    """Ray's options of the step's task: a dead node's task goes to another one, an error of the step is final."""
    asked = asked_for(params, wanted)
    options: dict[str, Any] = {
        "name": str(wanted.id),
        "num_gpus": asked.gpus,
        "num_cpus": asked.cpus,
        "memory": asked.memory_bytes or None,
        "max_retries": params.compute.ray.retries,
        "retry_exceptions": False,
    }
    # An environment of its own keeps a step from the processes that a node holds ready: only where it has to be.
    environment = dict(arithmetic.variables(params))
    return {**options, "runtime_env": {"env_vars": environment}} if environment else options


def here(actor: type) -> Any:
    """An actor on this machine, with this process as its owner: it takes nothing that a step could need."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node_id = ray.get_runtime_context().get_node_id()
    made: Any = ray.remote(actor)
    return made.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote()


class Room:
    """Watches whether any node of the cluster could ever hold a step."""

    def __init__(self, asked: Asked, wait_s: float) -> None:
        self.asked, self.wait_s = asked, wait_s
        self._could = self._looked = time.monotonic()

    def check(self) -> None:
        """Raise UserError once no node could for longer than `wait_s`; looks every two seconds."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked, nodes = now, _resources()
        if any(self.asked.fits(has) for has in nodes):
            self._could = now
        elif now - self._could > self.wait_s:
            have = "; ".join(_described(has) for has in nodes) or "none"
            raise UserError(
                f"No node of the Ray cluster can ever hold this step: it asks for {self.asked}. Nodes: {have}.",
                "Lower compute.requests, compute.threads_per_device or compute.memory_gb, add a node, or let "
                f"compute.ray.wait_s (now {self.wait_s:g} s) give one the time to come.",
            )


def _resources() -> list[Mapping[str, float]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [known["Resources"] for known in nodes if known["Alive"]]


def _described(has: Mapping[str, float]) -> str:
    gpus, cpus, memory = (has.get(name, 0.0) for name in ("GPU", "CPU", "memory"))
    return f"{gpus:g} GPUs, {cpus:g} CPUs, {memory / 1e9:.1f} GB"


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray would end the process at SIGTERM; who asks for a stop is to be heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
