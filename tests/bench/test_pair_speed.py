"""How fast pairs are fused: against three full forward passes, and against the arithmetic peak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestration.params import Params
from orchestration.results import Bar, Figure
from tests.bench.arithmetic import flops_of, peak_flops
from tests.bench.demo_networks import gan_config, two_generators
from tests.bench.three_passes import three_passes
from tests.bench.timing import interleaved, speedup, threads
from training.allocator import keep_freed_memory
from training.fusion import fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec
from training.joint_mask import MaskSource, ParserMask, resize_mask
from training.judges import load_judges, shipped_judges_dir
from training.pair_batch import to_uint8
from training.pair_store import PairMeasures, encode_pair
from training.sampling import latents, layer_noise

ROUNDS, BATCHES, BATCH = 9, 8, 16
LAYER = "32/2"
OURS, PLAIN = "ours", "three passes"
UNMEASURED = PairMeasures(0, 0, *[0.0] * 7)
Pair = tuple[Tensor, Tensor, Tensor]  # original, target, mask


@dataclass(frozen=True)
class Work:
    """What is done for each pair beside the networks' passes and the fusion, and whether a bar stands on the ratio."""

    name: str
    masks: MaskSource
    encoded: bool
    barred: bool


@pytest.mark.bench
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("seen", "bar"), [(LAYER, 1.4), (None, 1.15)])
def test_fused_pairs(
    all_measured: Callable[..., None], demo_params: Params, seen: str | None, bar: float, count: int
) -> None:
    """The bar is on passes and fusion; parsing and PNG, the same on both sides, are then added and only reported."""
    keep_freed_memory()
    config = FusionConfig(layers=(LayerSpec(layer=LAYER, a=0.1),), mask_layers=(seen, seen))
    parser = ParserMask(load_judges(shipped_judges_dir()).parser_train, ("hair",), 1)
    works = [
        Work("passes and fusion", _box, encoded=False, barred=True),
        Work("with parser and PNG", parser, encoded=True, barred=False),
    ]
    figures: list[Figure] = []
    with threads(count) as word, torch.no_grad():
        peak = peak_flops(torch.float32)
        for work in works:
            where = "end layers" if seen is None else f"layer {seen}"
            prefix = f"pairs, {demo_params.aligned_images.size_px} px, masks of {where}, {word}, {work.name}: "
            figures += _compared(prefix, demo_params, config, work, bar, peak)
    all_measured(*figures)


def _compared(prefix: str, params: Params, config: FusionConfig, work: Work, bar: float, peak: float) -> list[Figure]:
    runs = _contenders(params, config, work)
    seconds = interleaved(runs, ROUNDS)
    value, (low, high) = speedup(seconds, OURS, PLAIN)
    note = f"median of {ROUNDS} rounds in turns, {low:.2f} – {high:.2f}"
    reached = flops_of(runs[OURS]) / median(seconds[OURS]) / peak
    peak_note = f"fp32, of {peak / 1e9:.0f} GFLOP/s of a matrix product 2048 × 2048"
    pairs = BATCHES * BATCH
    rates = [Figure(prefix + name, pairs / median(times), "pairs/s") for name, times in seconds.items()]
    ratio_bar = Bar(at_least=bar) if work.barred else None
    return [
        *rates,
        Figure(f"{prefix}ours over three passes", value, "ratio", bar=ratio_bar, note=note),
        Figure(f"{prefix}share of the arithmetic peak", reached, "share", note=peak_note),
    ]


def _contenders(params: Params, config: FusionConfig, work: Work) -> dict[str, Callable[[], None]]:
    shape = gan_config(params).generator
    assert shape is not None
    original, feature = two_generators(shape)
    indices = torch.arange(BATCH)
    ws = original.mapping(latents(0, indices, shape.z_dim))
    noise = layer_noise(0, indices, original.synthesis.layer_sizes)

    def ours() -> Pair:
        fused = fused_batch(original, feature, ws, noise, work.masks, config)
        return fused.original, fused.target, fused.mask

    def plain() -> Pair:
        return three_passes(original, feature, ws, noise, work.masks, config)

    return {OURS: _repeated(ours, work.encoded), PLAIN: _repeated(plain, work.encoded)}


def _repeated(make: Callable[[], Pair], encoded: bool) -> Callable[[], None]:
    def run() -> None:
        for _ in range(BATCHES):
            pair = make()
            if encoded:
                _encode(*pair)

    return run


def _encode(original: Tensor, target: Tensor, mask: Tensor) -> None:
    masks = (resize_mask(mask, original.shape[-1])[:, 0] * 255).round().to(torch.uint8).numpy()
    for parts in zip(to_uint8(original), to_uint8(target), np.ascontiguousarray(masks), strict=True):
        encode_pair(*parts, UNMEASURED)


def _box(images: Tensor) -> Tensor:
    """A mask that costs nothing: the middle of the image."""
    side = images.shape[-1]
    mask = images.new_zeros(len(images), 1, side, side)
    mask[..., side // 4 : side // 2, side // 4 : side // 2] = 1
    return mask
