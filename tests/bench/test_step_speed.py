"""How fast a training step is: against grouped convolutions, a registry package, and the arithmetic peak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import pytest
import torch

from orchestration.params import Params
from orchestration.results import Bar, Figure
from tests.bench.arithmetic import flops_of, peak_flops
from tests.bench.demo_networks import gan_batches, gan_config, gan_weights
from tests.bench.grouped_stylegan2 import GroupedTraining
from tests.bench.plain_training import PlainTraining
from tests.bench.registry_stylegan2 import RegistryTraining
from tests.bench.timing import interleaved, speedup, threads
from training.allocator import keep_freed_memory
from training.gan_batches import GanBatch
from training.gan_config import GanTrainingConfig

ITERATIONS = 16  # a round is one whole interval of the lazy penalty
ROUNDS = {"bf16": 5, "fp32": 2}  # the registry's package, fp32 only, takes more than a minute a round
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
OURS, GROUPED, OWN, REGISTRY = "ours", "grouped convolutions", "grouped convolutions, D's images anew", "labml-nn 0.5.1"

Step = Callable[[GanBatch], None]


@pytest.mark.bench
@pytest.mark.parametrize(("precision", "count"), [("bf16", 1), ("bf16", 2), ("fp32", 1)])
def test_training_step(all_measured: Callable[..., None], demo_params: Params, precision: str, count: int) -> None:
    """The demo trains in bf16. The bar is on steps that differ in their networks' arithmetic alone."""
    keep_freed_memory()  # as the product's training does; here for all contenders
    config = gan_config(demo_params, precision=precision)
    batches = gan_batches(config, ITERATIONS)
    steps, notes = _contenders(config)
    with threads(count) as word:
        seconds = interleaved({name: _over(batches, step) for name, step in steps.items()}, ROUNDS[precision])
        peak = peak_flops(DTYPES[precision])
        flops = flops_of(_over(batches, steps[OURS]))
    prefix = f"training step, {demo_params.aligned_images.size_px} px, {precision}, {word}: "
    images = ITERATIONS * config.batch_size
    figures = [_rate(prefix, name, seconds.get(name), images, notes[name]) for name in notes]
    figures += [_ratio(prefix, name, seconds) for name in (GROUPED, OWN, REGISTRY) if name in seconds]
    reached = flops / median(seconds[OURS]) / peak
    note = f"of {peak / 1e9:.0f} GFLOP/s of a matrix product 2048 × 2048; products and convolutions counted"
    all_measured(*figures, Figure(f"{prefix}share of the arithmetic peak", reached, "share", note=note))


def _contenders(config: GanTrainingConfig) -> tuple[dict[str, Step], dict[str, str]]:
    """Steps by name, and what is to be said of each; the registry's is missing where it is not installed."""
    weights = gan_weights(config)
    notes = {
        OURS: f"batch {config.batch_size}, without drawing inputs",
        GROUPED: "equal outputs and losses; D and G share an iteration's images, as ours do",
        OWN: "as the paper's phases: D's images by a pass of their own",
    }
    steps: dict[str, Step] = {
        OURS: PlainTraining(config, weights).step,
        GROUPED: GroupedTraining(config, weights, own_latents=False).step,
        OWN: GroupedTraining(config, weights, own_latents=True).step,
    }
    if config.precision == "fp32":
        notes[REGISTRY] = "registry package, equal channels, fp32 only"
        try:
            assert config.generator is not None
            steps[REGISTRY] = RegistryTraining(config, config.generator).step
        except ImportError as error:
            notes[REGISTRY] = f"not installed: {error}"
    return steps, notes


def _over(batches: Sequence[GanBatch], step: Step) -> Callable[[], None]:
    def run() -> None:
        for batch in batches:
            step(batch)

    return run


def _rate(prefix: str, name: str, seconds: list[float] | None, images: int, note: str) -> Figure:
    return Figure(prefix + name, images / median(seconds) if seconds else None, "images/s", note=note)


def _ratio(prefix: str, name: str, seconds: dict[str, list[float]]) -> Figure:
    value, (low, high) = speedup(seconds, OURS, name)
    bar = Bar(at_least=1.5) if name == GROUPED and "bf16" in prefix else None
    note = f"median of {len(seconds[OURS])} rounds in turns, {low:.2f} – {high:.2f}"
    return Figure(f"{prefix}ours over {name}", value, "ratio", bar=bar, note=note)
