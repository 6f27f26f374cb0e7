"""A fusion report measures the pairs that are stored, edits the same faces by every method, and repeats to the byte."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from evaluation.fusion.baselines import FUSED, MOVED, PASTED, SWAPPED, Faces, Method, Networks, draw_faces, methods
from evaluation.fusion.edit_measures import Subject, glance, measure_edit
from evaluation.fusion.report import FusionReport, FusionReportConfig, evaluate_fusion, pair_rows
from evaluation.fusion.report_files import summary, write_fusion_report
from evaluation.fusion.tradeoff import faces_without
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.panel import Panel
from evaluation.pixels import to_images
from training.fusion import fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec
from training.latent_direction import FEWEST, latent_direction
from training.pair_store import PairArrays
from training.stylegan2 import Generator, GeneratorConfig

SIZE_PX, SEED = 32, 3
CONFIG = FusionReportConfig(
    pairs=12, images=10, direction_images=192, strengths=(0.5, 1.0), direction_strengths=(1.0, 2.0), batch_size=8,
    bootstrap=Bootstrap(replicates=50), sheet_rows=2,
)  # fmt: skip
SCHEDULE = FusionConfig(layers=(LayerSpec(layer="8/2", a=0.2), LayerSpec(layer="16/2", a=0.1)))


def generator(seed: int) -> Generator:
    torch.manual_seed(seed)
    channels = dict.fromkeys((4, 8, 16, 32), 8)
    return Generator(GeneratorConfig(size_px=SIZE_PX, z_dim=8, w_dim=8, mapping_layers=1, channels=channels))


def left_half(images: Tensor) -> Tensor:
    """A mask source: the left half of every image."""
    mask = torch.zeros(len(images), 1, *images.shape[2:])
    mask[..., : images.shape[-1] // 2] = 1
    return mask


def reddish(images: Tensor) -> Tensor:
    """A training judge's stand-in that is a function of the image: how red it is."""
    return torch.sigmoid(20 * (images[:, 0] - images[:, 2]).mean(dim=(1, 2)))


@pytest.fixture(scope="module")
def networks() -> Networks:
    original, feature = generator(0).requires_grad_(False), generator(1).requires_grad_(False)
    feature.mapping.load_state_dict(original.mapping.state_dict())
    return Networks(original, feature, left_half, SCHEDULE, SEED)


@pytest.fixture(scope="module")
def faces(networks: Networks) -> Faces:
    return draw_faces(networks, torch.arange(4))


class StoredPairs:
    """Pairs in memory, read by row as stored ones are."""

    def __init__(self, networks: Networks, count: int) -> None:
        _, w, noise = networks.codes(torch.arange(count))
        batch = fused_batch(networks.original, networks.feature, w, noise, left_half, networks.fusion)
        self.originals, self.targets = to_images(batch.original), to_images(batch.target)

    def __len__(self) -> int:
        return len(self.originals)

    def batch(self, rows: NDArray[np.int64]) -> PairArrays:
        return PairArrays(self.originals[rows], self.targets[rows], np.zeros((len(rows), 1, 1), np.uint8))


@pytest.fixture(scope="module")
def subject(panel: Panel, networks: Networks) -> Subject:
    """Half of the generated faces lack the attribute by this threshold: the judges are untrained."""
    every = Subject("beard", ("beard", "skin"), panel, 1.0)
    images = to_images(draw_faces(networks, torch.arange(16)).original)
    return replace(every, threshold=float(np.median(glance(every, images).probability)))


@pytest.fixture(scope="module")
def report(networks: Networks, subject: Subject) -> FusionReport:
    return evaluate_fusion(networks, StoredPairs(networks, 16), reddish, subject, CONFIG)


def edit(networks: Networks, faces: Faces, key: str, strength: float) -> Tensor:
    direction = latent_direction(networks.original, reddish, SEED, torch.arange(64))
    ways = {method.key: method for method in methods(networks, direction, (1.0,), (1.0,))}
    return ways[key].edit(faces, strength)


@pytest.mark.parametrize("key", [FUSED, SWAPPED, PASTED, MOVED])
def test_strength_zero_is_the_untouched_face(networks: Networks, faces: Faces, key: str) -> None:
    # The same sums in the same order, but for a batched product that may run in another blocking.
    torch.testing.assert_close(edit(networks, faces, key, 0.0), faces.original, rtol=0, atol=1e-5)
    assert (edit(networks, faces, key, 0.5) - faces.original).abs().max() > 0.01


def test_fusion_at_full_strength_is_what_pairs_are_made_of(networks: Networks, faces: Faces) -> None:
    stored = StoredPairs(networks, 4)
    difference = to_images(edit(networks, faces, FUSED, 1.0)).astype(int) - stored.targets
    assert np.abs(difference).max() <= 1  # one level: rounding


def test_pasting_changes_no_pixel_outside_the_mask(networks: Networks, faces: Faces) -> None:
    pasted, half = edit(networks, faces, PASTED, 1.0), SIZE_PX // 2
    assert torch.equal(pasted[..., half:], faces.original[..., half:])
    torch.testing.assert_close(pasted[..., :half], faces.feature[..., :half], rtol=0, atol=1e-5)


def test_swapping_goes_beyond_the_mask(networks: Networks, faces: Faces) -> None:
    layer, synthesis = SCHEDULE.layers[0].layer, networks.original.synthesis
    tail = synthesis.finish(faces.theirs.states[layer], faces.w, faces.noise)
    torch.testing.assert_close(edit(networks, faces, SWAPPED, 1.0), tail, rtol=0, atol=1e-5)
    right = (edit(networks, faces, SWAPPED, 1.0) - faces.original)[..., SIZE_PX // 2 + 4 :]
    assert right.abs().mean() > 0.01


def test_direction_raises_what_it_was_made_of(networks: Networks) -> None:
    direction = latent_direction(networks.original, reddish, SEED, torch.arange(256))
    assert direction is not None and direction.with_attribute + direction.without_attribute == 256
    unseen = draw_faces(networks, torch.arange(1000, 1032))
    moved = networks.original.synthesis(unseen.w + direction.step, unseen.noise)
    assert reddish(moved).mean() > reddish(unseen.original).mean() + 0.05


def test_direction_of_too_few_faces_is_left_out(networks: Networks, subject: Subject) -> None:
    def rare(images: Tensor) -> Tensor:
        return torch.arange(len(images)) / len(images) * 0.5 + 1e-3

    assert FEWEST > 0 and latent_direction(networks.original, rare, SEED, torch.arange(32)) is None
    report = evaluate_fusion(networks, StoredPairs(networks, 4), rare, subject, replace(CONFIG, images=4))
    assert [curve.key for curve in report.curves] == [FUSED, SWAPPED, PASTED] and report.direction is None


def test_edited_faces_lack_the_attribute(networks: Networks, subject: Subject) -> None:
    indices = faces_without(networks, subject, 6, batch_size=4)
    images = to_images(draw_faces(networks, indices).original)
    assert len(set(indices.tolist())) == 6 and (glance(subject, images).probability < subject.threshold).all()
    with pytest.raises(UserError, match=r"None of 40 generated faces lacks 'beard'"):
        faces_without(networks, replace(subject, threshold=0.0), 2, batch_size=8)


def test_change_inside_the_region_is_no_change_outside(networks: Networks, subject: Subject, faces: Faces) -> None:
    before = to_images(faces.original)
    seen = glance(subject, before)
    everywhere = replace(seen, region=np.ones_like(seen.region))
    nowhere = measure_edit(subject, before, replace(seen, region=np.zeros_like(seen.region)), before)
    changed = np.roll(before, 5, axis=2)
    inside = measure_edit(subject, before, everywhere, changed)
    assert inside.absolute.max() == 0 and inside.outside.count.max() == 0
    assert nowhere.absolute.max() == 0 and np.allclose(nowhere.cosine, 1) and nowhere.pose_deg.max() == 0


def test_pairs_are_read_evenly_and_doing_nothing_fails(networks: Networks, subject: Subject) -> None:
    pairs = StoredPairs(networks, 16)
    read: list[int] = []
    whole = pairs.batch
    pairs.batch = lambda rows: (read.extend(rows.tolist()), whole(rows))[1]  # type: ignore[method-assign]
    made, nothing = pair_rows(pairs, subject, replace(CONFIG, pairs=6))
    assert read == [0, 3, 6, 9, 12, 15]
    assert value(nothing.metrics, "psnr_outside") == 60 and value(nothing.metrics, "identity_cosine") == pytest.approx(
        1
    )
    assert value(made.metrics, "psnr_outside") < 60 and all(metric.n == 6 for metric in made.metrics)


def test_report_holds_every_method_and_names_its_judges(report: FusionReport, tmp_path: Path) -> None:
    write_fusion_report(report, tmp_path)
    record, pareto = (json.loads((tmp_path / name).read_text()) for name in ("metrics.json", "pareto.json"))
    assert [row["key"] for row in record["rows"]] == ["pairs", "did_nothing", FUSED, SWAPPED, PASTED, MOVED]
    judges = {metric["judge"] for row in record["rows"] for metric in row["metrics"]}
    assert judges == {"attribute_eval", "identity_eval", "pose", "parser_eval", "closed_form"}
    assert [curve["key"] for curve in pareto["curves"]] == [FUSED, SWAPPED, PASTED, MOVED]
    assert [point["strength"] for point in pareto["curves"][0]["points"]] == [0.5, 1.0]
    page = (tmp_path / "report.html").read_text()
    assert summary(report, PASTED) in page and "Cost at the same success" in page and 'src="http' not in page


def test_same_inputs_give_the_same_bytes(
    networks: Networks, subject: Subject, report: FusionReport, tmp_path: Path
) -> None:
    write_fusion_report(report, tmp_path / "first")
    again = evaluate_fusion(networks, StoredPairs(networks, 16), reddish, subject, CONFIG)
    write_fusion_report(again, tmp_path / "second")
    files = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert set(files) == {"metrics.json", "pareto.json", "report.html", "sheet.png", "summary.json", "pareto.png"}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}


def test_strangers_are_refused(networks: Networks, subject: Subject) -> None:
    other = replace(networks, feature=generator(7))
    with pytest.raises(UserError, match="mapping"):
        evaluate_fusion(other, StoredPairs(networks, 4), reddish, subject, CONFIG)


def value(metrics: tuple[Metric, ...], name: str) -> float:
    found = {metric.name: metric.value for metric in metrics}[name]
    assert found is not None
    return found


def test_methods_run_from_weak_to_strong(networks: Networks) -> None:
    ways: tuple[Method, ...] = methods(networks, None, (1.0, 0.25, 1.0), (3.0, 1.0))
    assert [method.strengths for method in ways] == [(0.25, 1.0)] * 3
