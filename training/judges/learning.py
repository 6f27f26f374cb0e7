"""One judge's training: seeded draws, AdamW on a one-cycle schedule, resumable at any iteration."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.categories import Category
from training.checkpoints import CheckpointFolder
from training.interruption import Interrupted
from training.judges.clip_network import ClipNet
from training.judges.config import JudgeSpec, JudgeTrainingConfig, Kind, first_subject
from training.judges.jitter import jitter
from training.judges.loading import NetworkRecord
from training.judges.objectives import Batch, objective_for
from training.judges.pools import Pool
from training.judges.traits import subject_traits

# Who somebody is, and how the head is turned, shows in fractions of a pixel: strong jitter hides it.
JITTER: dict[Kind, float] = {
    "parser": 1.0,
    "attribute": 0.5,
    "pose": 0.3,
    "identity": 0.3,
    "features": 0.3,
    "clip": 0.5,
}
MAX_CLIP_GRADIENT = 1.0


def never() -> bool:
    """Nobody asks for a stop."""
    return False


def learn(
    spec: JudgeSpec,
    network: NetworkRecord,
    pool: Pool,
    config: JudgeTrainingConfig,
    kind: Category[Any, Any],
    progress: Callable[[int, float], None] | None = None,
    checkpoints: CheckpointFolder | None = None,
    stop: Callable[[], bool] = never,
) -> dict[str, Tensor]:
    """Train a judge on its pool; returns its network's weights, in half precision.

    Order, jitter and initial weights are a function of (seed, judge, iteration), so that the newest of `checkpoints`
    leads to the same bits. `progress` hears the steps and losses. Raises Interrupted, with a checkpoint, where `stop()`
    ended it after an iteration.
    """
    seed = [config.seed, zlib.crc32(spec.name.encode())]
    learning = _Learning(spec, network, pool, config, kind)
    state = checkpoints.latest() if checkpoints is not None else None
    if state is not None:
        learning.restore(state)
    total = config.iterations(spec.kind)
    while learning.iteration < total:
        loss = learning.step(
            draw_batch(pool, seed, learning.iteration, total, config.batch_of(spec.kind), JITTER[spec.kind])
        )
        if progress is not None:
            progress(learning.iteration, float(loss))
        stopping = stop()
        if checkpoints is not None and (stopping or checkpoints.due):
            checkpoints.write(learning.iteration, learning.true_state())
        if stopping:
            raise Interrupted(f"{spec.name} stopped at iteration {learning.iteration} of {total}")
    return learning.weights()


class _Learning:
    """A judge's objective, optimizer, schedule and iteration: the whole true state of its training."""

    def __init__(
        self,
        spec: JudgeSpec,
        network: NetworkRecord,
        pool: Pool,
        config: JudgeTrainingConfig,
        kind: Category[Any, Any],
    ) -> None:
        self.kind, rate = spec.kind, config.peak_rate(spec.kind)
        self.iteration = 0
        traits = subject_traits(kind, first_subject(spec.pool, kind.seeds), int(pool.subjects.max()) + 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_torch_seed([config.seed, zlib.crc32(spec.name.encode())], 0))
            self.objective = objective_for(spec.kind, network, torch.from_numpy(traits), kind)
        self.objective.train().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(_groups(self.objective, config.weight_decay), lr=rate)
        steps = config.iterations(spec.kind) + 1
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, steps, pct_start=0.1)

    def step(self, batch: Batch) -> Tensor:
        """One iteration; returns its loss, a scalar."""
        self.optimizer.zero_grad(set_to_none=True)
        loss: Tensor = self.objective(batch)
        torch.autograd.backward(loss)
        if self.kind == "clip":
            nn.utils.clip_grad_norm_(self.objective.parameters(), MAX_CLIP_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        self.iteration += 1
        return loss.detach()

    def true_state(self) -> dict[str, Any]:
        """Everything that the next iteration depends on."""
        return {
            "iteration": self.iteration,
            "objective": dict(self.objective.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `true_state` gave."""
        self.iteration = int(state["iteration"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        _lie_as_parameters(self.optimizer)

    def weights(self) -> dict[str, Tensor]:
        """The network's weights in half precision."""
        net, weights = self.objective.net, half_weights(self.objective.net)
        return net.compact(weights) if isinstance(net, ClipNet) else weights


def draw_batch(pool: Pool, seed: list[int], iteration: int, total: int, batch_size: int, strength: float) -> Batch:
    """The jittered batch of an iteration, a function of (seed, iteration) alone."""
    chosen = _order(len(pool), seed, iteration, batch_size)
    generator = torch.Generator().manual_seed(_torch_seed(seed, 1 + iteration))
    jittered = jitter(
        torch.from_numpy(pool.images[chosen]), torch.from_numpy(pool.regions[chosen]), generator, strength
    )
    turned = torch.stack([torch.zeros_like(jittered.turn_deg)] * 2 + [jittered.turn_deg], dim=1)
    return Batch(
        images=jittered.images,
        regions=jittered.regions,
        pose_deg=torch.from_numpy(pool.pose_deg[chosen]) + turned,
        attributes=torch.from_numpy(pool.attributes[chosen]).float(),
        subjects=torch.from_numpy(pool.subjects[chosen]),
        done=iteration / total,
        caption_seed=(*seed, 1 + iteration),
    )


def half_weights(net: nn.Module) -> dict[str, Tensor]:
    """The network's floating-point state in half precision, contiguous; counters of training are left out."""
    state = net.state_dict()
    return {key: value.half().contiguous() for key, value in state.items() if value.is_floating_point()}


def _order(images: int, seed: list[int], iteration: int, batch_size: int) -> NDArray[np.int64]:
    """Sorted indices of an iteration's images: each image once per pass, in an order drawn for that pass."""
    places = iteration * batch_size + np.arange(batch_size)
    epochs = places // images
    orders = {int(epoch): _permutation(images, tuple(seed), int(epoch)) for epoch in np.unique(epochs)}
    chosen = np.array(
        [orders[int(epoch)][place % images] for epoch, place in zip(epochs, places, strict=True)], np.int64
    )
    return np.sort(chosen)


def _permutation(images: int, seed: tuple[int, ...], epoch: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([*seed, epoch]))).permutation(images)


def _torch_seed(seed: list[int], number: int) -> int:
    return int(np.random.SeedSequence([*seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _lie_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give each moment its parameter's memory format, as it has when it was never saved: sums run in that order."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def _groups(objective: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters to decay, and those of norms and biases, which are not."""
    parameters = list(objective.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
