"""One judge's training: seeded draws, AdamW on a one-cycle schedule."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.categories import Category
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


def learn(
    spec: JudgeSpec,
    network: NetworkRecord,
    pool: Pool,
    config: JudgeTrainingConfig,
    kind: Category[Any, Any],
    progress: Callable[[int, float], None] | None = None,
) -> dict[str, Tensor]:
    """Train a judge on its pool; returns its network's weights, in half precision.

    Order, jitter and initial weights are a function of (seed, judge, iteration). `progress` hears the steps and losses.
    """
    seed = [config.seed, zlib.crc32(spec.name.encode())]
    traits = subject_traits(kind, first_subject(spec.pool, kind.seeds), int(pool.subjects.max()) + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_torch_seed(seed, 0))
        objective = objective_for(spec.kind, network, torch.from_numpy(traits), kind)
    objective.train().to(memory_format=torch.channels_last)
    total = config.iterations(spec.kind)
    optimizer = torch.optim.AdamW(_groups(objective, config.weight_decay), lr=config.peak_rate(spec.kind))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.peak_rate(spec.kind), total + 1, pct_start=0.1)
    for iteration in range(total):
        batch = draw_batch(pool, seed, iteration, total, config.batch_of(spec.kind), JITTER[spec.kind])
        optimizer.zero_grad(set_to_none=True)
        loss = objective(batch)
        torch.autograd.backward(loss)
        if spec.kind == "clip":
            nn.utils.clip_grad_norm_(objective.parameters(), MAX_CLIP_GRADIENT)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(iteration + 1, float(loss.detach()))
    weights = half_weights(objective.net)
    return objective.net.compact(weights) if isinstance(objective.net, ClipNet) else weights


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


def _groups(objective: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameters to decay, and those of norms and biases, which are not."""
    parameters = list(objective.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
