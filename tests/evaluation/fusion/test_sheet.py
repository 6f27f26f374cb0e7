"""The disclosure's figure shows the networks' own images, at the places its columns say."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.fusion.sheet import Codes, Fusing, editor_figure, fusion_figure, lacking_codes, strength_figure
from evaluation.pixels import to_images
from evaluation.sheet import STYLE, Picture, at_size
from training.fusion_schedule import FusionConfig, LayerSpec
from training.pair_batch import PairJudges
from training.stylegan2 import Generator

CELL, GAP = 192, STYLE.gap_px
ROWS = np.array([3, 4], np.int64)


@pytest.fixture
def fusing(fusing_networks: tuple[Generator, Generator], closed_form_judges: PairJudges) -> Fusing:
    layers = (LayerSpec(layer="8/1", a=0.1), LayerSpec(layer="8/2", a=0.0))
    schedule = FusionConfig(layers=layers, mask_layers=(None, "8/2"))
    return Fusing(*fusing_networks, closed_form_judges.mask, schedule)


def cell(page: Picture, column: int) -> Picture:
    """The first row's cell: below title, subtitle and captions."""
    left = STYLE.margin_px + column * (CELL + GAP)
    top = STYLE.margin_px + STYLE.title_px + 8 + 2 * (STYLE.caption_px + 8)
    return page[top : top + CELL, left : left + CELL]


def columns(page: Picture) -> int:
    return int((page.shape[1] - 2 * STYLE.margin_px + GAP) // (CELL + GAP))


def test_figure_shows_each_step_from_original_to_target(fusing: Fusing) -> None:
    page = fusion_figure(fusing, 7, ROWS, "red")
    assert columns(page) == 7  # original, feature, mask, fused, what comes of it, fused again, target
    codes = Codes.of(fusing.original, 7, ROWS)
    for column, network in ((0, fusing.original), (1, fusing.feature)):
        images = to_images(network(codes.z, codes.noise))
        assert np.array_equal(cell(page, column), at_size(images, CELL)[0])
    assert not np.array_equal(cell(page, 6), cell(page, 0))
    assert set(np.unique(cell(page, 2))) >= {0, 255}
    assert np.array_equal(page, fusion_figure(fusing, 7, ROWS, "red"))


def test_strength_goes_from_the_original_to_the_whole_feature(fusing: Fusing) -> None:
    figure, strip = fusion_figure(fusing, 7, ROWS, "red"), strength_figure(fusing, 7, ROWS, "red")
    assert np.array_equal(cell(strip, 0), cell(figure, 0))
    change = [np.abs(cell(strip, c).astype(int) - cell(strip, 0)).mean() for c in range(columns(strip))]
    assert change == sorted(change) and change[-1] > 1


def test_rows_are_faces_that_lack_the_attribute(fusing: Fusing, closed_form_judges: PairJudges) -> None:
    rows = lacking_codes(fusing.original, closed_form_judges.probability, 7, 4, 0.5)
    codes = Codes.of(fusing.original, 7, rows)
    images = fusing.original(codes.z, codes.noise).clamp(-1, 1)
    assert (closed_form_judges.probability(images) <= 0.5).all() and len(set(rows.tolist())) == 4
    assert lacking_codes(fusing.original, closed_form_judges.probability, 7, 4, 0.0).tolist() == [0, 1, 2, 3]


def test_editor_strip_begins_with_the_input_and_ends_with_the_truth() -> None:
    inputs, truth = (np.full((2, 32, 32, 3), level, np.uint8) for level in (100, 180))
    page = editor_figure(lambda faces, strength: faces + 0.2 * strength, inputs, truth, "red")
    assert columns(page) == 6
    assert (cell(page, 0) == 100).all() and (cell(page, 5) == 180).all()
    assert [int(cell(page, c)[0, 0, 0]) for c in (1, 2, 3, 4)] == [113, 126, 132, 138]  # 25.5 levels at strength 1
