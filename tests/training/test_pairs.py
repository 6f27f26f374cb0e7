"""What the making of pairs must hold. Judges are closed forms here: what is tested is what is made of their answers."""

import copy
import json
from collections import Counter
from collections.abc import Callable
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
from training.fusion import FusionConfig
from training.interruption import Interrupted
from training.pair_batch import HAD_ATTRIBUTE, LACKS_ATTRIBUTE, make_batch
from training.pair_store import load_pairs
from training.pairs import SURPLUS, PairJudges, PairsConfig, PairsResult, make_pairs
from training.progress import Progress
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


JUDGES = PairJudges(in_box, redness, lambda images: F.normalize(images.flatten(1), dim=1), "closed forms")


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
        "fusion": FusionConfig(layer="8/2", a=0.0),
        "min_probability": 0.7,
        "max_probability": 0.5,
        "max_change_outside": 1.0,
        "batch_size": 8,
        "chunk_size": 16,
        "dilate_px": 0,
    }
    return PairsConfig.model_validate(settings | changes)


Run = Callable[..., PairsResult]


@pytest.fixture
def run(networks: tuple[Generator, Generator], tmp_path: Path) -> Run:
    def make(name: str, settings: PairsConfig, work: str = "", **options: object) -> PairsResult:
        return make_pairs(
            *networks,
            JUDGES,
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
    pairs = load_pairs(tmp_path / "pairs")
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
