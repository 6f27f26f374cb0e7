"""What the making of pairs must hold. Judges are closed forms here: what is tested is what is made of their answers."""

import copy
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from data.png import decode_png
from training import pair_store
from training.complexity import FusionPresets
from training.fusion import fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec
from training.interruption import Interrupted
from training.judges import load_judges, shipped_judges_dir
from training.mask_config import MaskConfig
from training.pair_batch import (
    HAD_ATTRIBUTE,
    IDENTITY_CHANGED,
    LACKS_ATTRIBUTE,
    NO_REGION,
    OUTSIDE_CHANGED,
    make_batch,
    psnr_over,
    reason_to_drop,
)
from training.pair_store import PairMeasures, open_pairs
from training.pairs import (
    SURPLUS,
    PairJudges,
    PairsConfig,
    PairsResult,
    make_pairs,
    read_config,
    training_judges,
    with_schedule,
)
from training.progress import Progress
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator, GeneratorConfig

SIZE_PX = 16
BOX = (slice(None), slice(None), slice(4, 12), slice(4, 12))


def in_box(images: Tensor) -> Tensor:
    mask = torch.zeros(len(images), 1, SIZE_PX, SIZE_PX)
    mask[BOX] = 1
    return mask


def redness(images: Tensor) -> Tensor:
    """The attribute of these tests: how much redder than blue the box is, N."""
    box = images[BOX]
    return torch.sigmoid(5 * (box[:, 0] - box[:, 2]).mean(dim=(1, 2)))


JUDGES = PairJudges(in_box, in_box, redness, lambda images: F.normalize(images.flatten(1), dim=1), "closed forms")


@pytest.fixture(scope="module")
def networks() -> tuple[Generator, Generator]:
    torch.manual_seed(0)
    original = Generator(GeneratorConfig(size_px=SIZE_PX, channels={4: 8, 8: 8, 16: 8}, z_dim=8, w_dim=8))
    original.requires_grad_(False)
    for name, parameter in original.synthesis.to_rgb.named_parameters():
        if name.endswith(".weight") and parameter.ndim == 4:
            parameter.mul_(0.2)  # about [-1, 1]
    feature = copy.deepcopy(original)
    feature.synthesis.to_rgb.get_parameter("8.bias").add_(torch.tensor([0.6, 0.0, -0.6]))
    return original, feature


def config(**changes: object) -> PairsConfig:
    settings: dict[str, object] = {
        "attribute": "red",
        "count": 20,
        "fusion": FusionConfig(layers=(LayerSpec(layer="8/2", a=0.0),)),
        "min_probability": 0.7,
        "max_probability": 0.5,
        "max_change_outside": 1.0,
        "batch_size": 8,
        "chunk_size": 16,
    }
    return PairsConfig.model_validate(settings | changes)


Run = Callable[..., PairsResult]


@pytest.fixture
def run(networks: tuple[Generator, Generator], tmp_path: Path) -> Run:
    def make(
        name: str, settings: PairsConfig, work: str = "", judges: PairJudges = JUDGES, **options: object
    ) -> PairsResult:
        return make_pairs(
            *networks,
            judges,
            settings,
            tmp_path / name,
            tmp_path / (work or f"work-{name}"),
            **options,  # type: ignore[arg-type]
        )

    return make


def payload(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def after(calls: int) -> Callable[[], bool]:
    seen = iter(range(1, 10_000))
    return lambda: next(seen) > calls


def test_stopped_run_resumes_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    run("whole", config())
    with pytest.raises(Interrupted):
        run("parts", config(), stop=after(3))
    assert not (tmp_path / "parts").exists()
    done = sorted((tmp_path / "work-parts" / "chunks").glob("*.tar"))
    assert len(done) == 1  # the fourth batch is in the second chunk
    written_ns = done[0].stat().st_mtime_ns
    run("parts", config())
    assert done[0].stat().st_mtime_ns == written_ns  # not made again
    assert payload(tmp_path / "parts") == payload(tmp_path / "whole")


def test_other_inputs_do_not_resume_from_stale_work(run: Run, tmp_path: Path) -> None:
    run("first", config(), work="shared")
    run("second", config(seed=1), work="shared")
    run("fresh", config(seed=1))
    assert payload(tmp_path / "second") == payload(tmp_path / "fresh") != payload(tmp_path / "first")


def test_a_pair_is_a_function_of_its_index(networks: tuple[Generator, Generator]) -> None:
    """To one level of 255 and 1e-4: a product over another batch size may round otherwise."""

    def pairs(batch: int) -> dict[int, tuple[NDArray[np.uint8], float]]:
        found: dict[int, tuple[NDArray[np.uint8], float]] = {}
        for start in range(0, 24, batch):
            made = make_batch(*networks, JUDGES, config(), torch.arange(start, start + batch), Counter())
            found |= {pair.measures.index: (decode_png(pair.parts[1]), pair.measures.change_inside) for pair in made}
        return found

    alone, together = pairs(1), pairs(24)
    assert alone.keys() == together.keys() and len(alone) > 5
    for index, (target, change) in together.items():
        assert np.abs(target.astype(int) - alone[index][0].astype(int)).max() <= 1
        assert change == pytest.approx(alone[index][1], abs=1e-4)


def test_every_candidate_is_kept_or_counted(run: Run, tmp_path: Path) -> None:
    result = run("pairs", config(min_probability=0.9, max_probability=0.1))
    assert result.kept == 20
    assert result.kept + sum(result.dropped.values()) == result.candidates
    assert result.dropped[HAD_ATTRIBUTE] > 0 and result.dropped[LACKS_ATTRIBUTE] > 0
    summary = json.loads((tmp_path / "pairs" / "pairs.json").read_text())
    assert summary["dropped"] == result.dropped and SURPLUS in summary["dropped"]


def test_kept_pairs_show_the_edit_inside_the_mask(run: Run, tmp_path: Path) -> None:
    run("pairs", config())
    rows = pq.read_table(tmp_path / "pairs" / "pairs.parquet").to_pylist()
    assert all(row["probability_before"] <= 0.5 and row["probability_after"] >= 0.7 for row in rows)
    assert all(row["change_inside"] > 2 * row["change_outside"] for row in rows)
    assert all(row["mask_area"] == pytest.approx(0.25) for row in rows)
    assert all(row["seed"] == 0 for row in rows) and len({row["index"] for row in rows}) == 20
    assert all(np.isfinite(row["psnr_outside"]) and row["psnr_outside"] <= 60 for row in rows)
    pairs = open_pairs(tmp_path / "pairs").batch(np.arange(20))
    # Recomputed from the stored bytes; half a level of rounding in each image is 0.004 of the range.
    change = np.abs(pairs.originals.astype(float) - pairs.targets).mean(axis=3) / 255
    assert change[:, 4:12, 4:12].mean(axis=(1, 2)) == pytest.approx([row["change_inside"] for row in rows], abs=0.004)


def test_network_that_never_shows_the_attribute_ends_with_a_reason(
    networks: tuple[Generator, Generator], tmp_path: Path
) -> None:
    original, _ = networks
    with pytest.raises(UserError, match="0 of 20 pairs with 'red'"):
        make_pairs(original, original, JUDGES, config(max_candidates_per_pair=2), tmp_path / "out", tmp_path / "work")


def test_network_with_another_mapping_is_refused(networks: tuple[Generator, Generator], tmp_path: Path) -> None:
    original, feature = networks
    stranger = copy.deepcopy(feature)
    next(stranger.mapping.parameters()).add_(0.1)
    with pytest.raises(UserError, match="mapping"):
        make_pairs(original, stranger, JUDGES, config(), tmp_path / "out", tmp_path / "work")


def test_progress_ends_at_the_whole(run: Run) -> None:
    reports: list[Progress] = []
    run("pairs", config(), progress=reports.append)
    assert reports[-1].step == reports[-1].total == 20


def test_pair_is_the_fusion_of_its_row(networks: tuple[Generator, Generator], run: Run, tmp_path: Path) -> None:
    """Seed and index of a row give its images back, to one level of 255: the batch was another one."""
    run("pairs", config(seed=3))
    reader = open_pairs(tmp_path / "pairs")
    settings = read_config(tmp_path / "pairs")
    indices = torch.from_numpy(reader.indices.copy())
    original, feature = networks
    noise = layer_noise(settings.seed, indices, original.synthesis.layer_sizes)
    ws = original.mapping(latents(settings.seed, indices, 8))
    batch = fused_batch(original, feature, ws, noise, in_box, settings.fusion)
    stored = reader.batch(np.arange(len(reader)))
    for images, expected in ((stored.originals, batch.original), (stored.targets, batch.target)):
        levels = (expected.clamp(-1, 1).permute(0, 2, 3, 1) + 1) * 127.5
        assert np.abs(images - levels.numpy()).max() <= 1.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"min_mask_area": 0.31}, NO_REGION),
        ({"min_probability": 0.96}, LACKS_ATTRIBUTE),
        ({"max_change_outside": 0.009}, OUTSIDE_CHANGED),
        ({"min_psnr_outside": 35.1}, OUTSIDE_CHANGED),
        ({"min_identity": 0.81}, IDENTITY_CHANGED),
        ({}, None),
    ],
)
def test_each_filter_drops_what_it_names(changes: dict[str, float], reason: str | None) -> None:
    measures = PairMeasures(
        seed=0,
        index=0,
        mask_area=0.3,
        change_inside=0.2,
        change_outside=0.01,
        psnr_outside=35.0,
        probability_before=0.1,
        probability_after=0.95,
        identity_cosine=0.8,
    )
    limits = {"min_mask_area": 0.3, "max_change_outside": 0.01, "min_psnr_outside": 35.0, "min_identity": 0.8}
    assert reason_to_drop(measures, config(**(limits | changes))) == reason


def test_psnr_by_hand() -> None:
    """A change of 0.2 (a tenth of the range) over half of the weight: mse 0.005, and nothing elsewhere counts."""
    first, second = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    second[..., :2, :2], second[..., 2:, :] = 0.2, 0.9
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2, :] = 1
    assert float(psnr_over(first, second, weight)) == pytest.approx(-10 * np.log10(0.005), abs=1e-3)
    assert float(psnr_over(first, first, weight)) == float(psnr_over(first, second, 0 * weight)) == pytest.approx(60)


def test_outside_spares_both_images_regions(networks: tuple[Generator, Generator]) -> None:
    """A region that covers everything leaves nothing outside, whatever changed."""
    everywhere = replace(JUDGES, region=lambda images: torch.ones(len(images), 1, SIZE_PX, SIZE_PX))
    found = [
        [pair.measures.psnr_outside for pair in make_batch(*networks, judges, config(), torch.arange(16), Counter())]
        for judges in (JUDGES, everywhere)
    ]
    assert max(found[0]) < 60 and found[1] == pytest.approx([60] * len(found[1]))


def test_refused_originals_never_reach_the_feature_network(networks: tuple[Generator, Generator]) -> None:
    original, feature = networks
    sizes: list[int] = []
    with feature.synthesis.convs["8/1"].register_forward_hook(lambda _, __, output: sizes.append(len(output))):
        counts: Counter[str] = Counter()
        make_batch(original, feature, JUDGES, config(max_probability=0.1), torch.arange(16), counts)
        make_batch(original, feature, JUDGES, config(max_probability=0.0), torch.arange(16), counts)
    assert sizes == [16 - (counts[HAD_ATTRIBUTE] - 16)] and 0 < sizes[0] < 16


def test_early_mask_layers_stop_the_feature_network(run: Run, networks: tuple[Generator, Generator]) -> None:
    calls: list[str] = []
    early = FusionConfig(layers=(LayerSpec(layer="8/2", a=0.0),), mask_layers=("8/2", "8/2"))
    with networks[1].synthesis.convs["16/1"].register_forward_hook(lambda *_: calls.append("16/1")):
        kept = run("early", config(fusion=early, count=4), judges=replace(JUDGES, mask=half_size_box)).kept
    assert kept == 4 and calls == []


def half_size_box(images: Tensor) -> Tensor:
    mask = torch.zeros(len(images), 1, *images.shape[-2:])
    low, high = images.shape[-1] // 4, 3 * images.shape[-1] // 4
    mask[..., low:high, low:high] = 1
    return mask


def test_memory_does_not_grow_with_the_number_of_pairs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's and numpy's peak for 2,000 pairs against 200: 0.3 MB is less than 1,800 rows of the index alone.

    A shard's rows wait in memory, so that both runs get several shards; 1,800 pairs would be some 4 MB.
    """
    monkeypatch.setattr(pair_store, "PAIRS_PER_SHARD", 100)
    everything = {"min_probability": 0.0, "max_probability": 1.0, "batch_size": 128, "chunk_size": 128}
    peaks = []
    for count in (200, 2000):
        tracemalloc.start()
        run(f"pairs-{count}", config(count=count, **everything))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 300_000, peaks


def test_schedule_is_chosen_and_recorded(run: Run, tmp_path: Path) -> None:
    """The box covers a quarter: one attribute counts 2, two count 4."""
    layers = {"smaller": (LayerSpec(layer="8/2"),), "larger": (LayerSpec(layer="8/1"), LayerSpec(layer="8/2"))}
    presets = FusionPresets(complexity_threshold=3.0, **layers)
    images = np.zeros((3, SIZE_PX, SIZE_PX, 3), np.uint8)
    one = with_schedule(config(), presets, JUDGES, images)
    two = with_schedule(config(attribute="beard+red"), presets, JUDGES, images)
    assert [len(settings.fusion.layers) for settings in (one, two)] == [1, 2]
    assert two.decision is not None and (two.decision.attributes, two.decision.region_area) == (2, 0.25)
    run("pairs", two.model_copy(update={"min_probability": 0.0}))
    assert read_config(tmp_path / "pairs") == two.model_copy(update={"min_probability": 0.0})
    with pytest.raises(UserError, match=r"pairs\.json"):
        read_config(tmp_path)


def test_schedule_beyond_the_network_is_named(run: Run) -> None:
    with pytest.raises(UserError, match=r"edit_pairs\.fusion.*'32/2'"):
        run("pairs", config(fusion=FusionConfig()))


def test_combined_attribute_masks_the_regions_of_all_its_parts() -> None:
    judges = load_judges(shipped_judges_dir())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def mask(attribute: str) -> Tensor:
        settings = PairsConfig(attribute=attribute, mask=MaskConfig(dilate_px=0))
        return training_judges(judges, settings, 64).mask(images)

    parts = [mask(attribute) for attribute in ("beard", "slicked_back_hair")]
    assert torch.equal(mask("beard+slicked_back_hair"), torch.maximum(*parts))
    assert not torch.equal(parts[0], parts[1])
