"""The search for a fusion schedule: what it tries, that it measures what pairs would be, and what it calls best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from evaluation.fusion.candidates import ScheduleScore, SearchRule, candidates, larger_preset, ranked, score_db
from evaluation.fusion.seams import seam_levels
from evaluation.fusion.search import SearchConfig, search
from evaluation.fusion.search_page import SearchRecord, params_snippet, write_search
from training.complexity import FusionPresets
from training.fusion import fused_batch
from training.fusion_schedule import FusionConfig, LayerSpec, layer_order
from training.pair_batch import PairJudges, psnr_over
from training.sampling import latents, layer_noise
from training.stylegan2 import Generator

Networks = tuple[Generator, Generator]
CONFIG = SearchConfig(codes=12, seed=5, min_probability=0.7, max_probability=0.5, batch_size=8)
LAYERS_64 = ("4/1", "8/1", "8/2", "16/1", "16/2", "32/1", "32/2", "64/1", "64/2")


def score(schedule: FusionConfig, success: float, psnr_db: float, seam: float = 0.0) -> ScheduleScore:
    return ScheduleScore(schedule, success, success, psnr_db, 1.0, seam)


def at(*layers: str, a: float = 0.1) -> FusionConfig:
    return FusionConfig(layers=tuple(LayerSpec(layer=layer, a=a) for layer in layers))


def test_every_layer_with_layers_behind_it_is_tried_at_every_coefficient() -> None:
    tried = candidates(LAYERS_64)
    assert len(set(tried)) == len(tried) <= 64  # a minute and a half on one core at 128 codes
    single = {(s.layers[0].layer, s.layers[0].a) for s in tried if len(s.layers) == 1}
    assert single == {(layer, a) for layer in LAYERS_64[1:-1] for a in (0.0, 0.1, 0.2, 0.3)}
    assert {s.joint for s in tried} == {"union", "intersection"}
    assert any(len(s.layers) == 2 for s in tried) and any(s.layers[-1].mask != "target" for s in tried)
    for q, schedule in ((s.mask_layers[1], s) for s in tried if s.mask_layers != (None, None)):
        assert q is not None and layer_order(q) <= layer_order(schedule.layers[0].layer)


def test_search_measures_what_pairs_of_these_codes_would_be(
    fusing_networks: Networks, closed_form_judges: PairJudges
) -> None:
    """Against the one entry point of fusion, code by code; to 1e-4, as the batches differ in size."""
    original, feature = fusing_networks
    schedules = [at("8/2"), at("8/1", "16/1", a=0.2), FusionConfig(layers=at("8/2").layers, mask_layers=(None, "8/2"))]
    found = search(original, feature, closed_form_judges, schedules, CONFIG)
    for schedule, row in zip(schedules, found, strict=True):
        probabilities, psnrs, cosines = pair_measures(original, feature, closed_form_judges, schedule)
        assert row.success == pytest.approx((probabilities >= CONFIG.min_probability).mean())
        assert row.probability == pytest.approx(probabilities.mean(), abs=1e-4)
        assert row.psnr_outside_db == pytest.approx(psnrs.mean(), abs=1e-2)  # dB; the logarithm enlarges rounding
        assert row.identity_cosine == pytest.approx(cosines.mean(), abs=1e-4)


def pair_measures(
    original: Generator, feature: Generator, judges: PairJudges, schedule: FusionConfig
) -> list[NDArray[np.float64]]:
    """Probability, PSNR outside and identity cosine of each code's pair."""
    measures: list[tuple[float, float, float]] = []
    index = 0
    while len(measures) < CONFIG.codes:
        row = torch.tensor([index])
        ws = original.mapping(latents(CONFIG.seed, row, 8))
        noise = layer_noise(CONFIG.seed, row, original.synthesis.layer_sizes)
        fused = fused_batch(original, feature, ws, noise, judges.mask, schedule)
        index += 1
        if judges.probability(fused.original.clamp(-1, 1)) > CONFIG.max_probability:
            continue
        image, target = fused.original.clamp(-1, 1), fused.target.clamp(-1, 1)
        psnr = psnr_over(image, target, 1 - judges.region(image))
        cosine = (judges.identity(image) * judges.identity(target)).sum()
        measures.append((float(judges.probability(target)), float(psnr), float(cosine)))
    return list(np.array(measures).T)


def test_more_schedules_do_not_parse_an_image_again(fusing_networks: Networks, closed_form_judges: PairJudges) -> None:
    asked: list[int] = []

    def counting(images: Tensor) -> Tensor:
        asked.append(len(images))
        return closed_form_judges.mask(images)

    judges = replace(closed_form_judges, mask=counting)
    for schedules in ([at("8/2")], [at("8/2", a=a / 10) for a in range(5)]):
        asked.clear()
        search(*fusing_networks, judges, schedules, CONFIG)
        assert sum(asked) == 2 * CONFIG.codes  # the original's and the feature network's image of each code


def test_too_few_faces_without_the_attribute_are_told(
    fusing_networks: Networks, closed_form_judges: PairJudges
) -> None:
    config = replace(CONFIG, max_probability=0.0)
    with pytest.raises(UserError, match="Only 0 of"):
        search(*fusing_networks, closed_form_judges, [at("8/2")], config)


def test_success_comes_before_the_score() -> None:
    seldom, often, seamy = score(at("64/1"), 0.5, 50), score(at("32/2"), 0.95, 40), score(at("16/2"), 0.95, 42, 3.0)
    assert ranked([seldom, seamy, often], SearchRule()) == (often, seamy, seldom)
    assert score_db(seamy, SearchRule()) == 33


def test_best_is_among_the_most_successful_where_none_succeeds_often() -> None:
    rows = [score(at("64/1"), 0.7, 50), score(at("32/2"), 0.73, 41), score(at("16/2"), 0.80, 40)]
    assert ranked(rows, SearchRule())[0] is rows[1]


def test_equal_scores_go_to_the_simpler_schedule_in_any_order() -> None:
    rows = [score(at("16/2", "32/2"), 1, 40), score(at("32/2"), 1, 40)]
    assert ranked(rows, SearchRule())[0] is ranked(rows[::-1], SearchRule())[0] is rows[1]
    assert larger_preset(rows, SearchRule()) is rows[0]


def record() -> SearchRecord:
    own = LayerSpec(layer="32/2", a=0.2, mask=("16/2", "16/2"))
    updated = FusionConfig(layers=(LayerSpec(layer="16/2"), own))
    rows = (score(at("32/2"), 0.99, 41), score(updated, 0.95, 39), score(at("64/1"), 0.2, 55))
    return SearchRecord("beard", 64, rows, SearchConfig(), SearchRule(), {"parser_train": "ab" * 32}, updated)


def test_snippet_is_what_params_understand() -> None:
    fusion = yaml.safe_load(params_snippet(record()))["edit_pairs"]["fusion"]
    presets = FusionPresets.model_validate(fusion)
    assert presets.schedule("smaller") == record().rows[0].schedule
    assert presets.schedule("larger") == record().rows[1].schedule


def test_page_names_best_and_present_and_is_the_same_each_time(tmp_path: Path) -> None:
    page = write_search(record(), tmp_path / "a").read_text()
    assert "**32/2 a 0.1**" in page
    assert sum("(present)" in line for line in page.splitlines()) == 1
    write_search(record(), tmp_path / "b")
    for name in ("fusion_search.md", "fusion_search.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_seam_is_an_edge_that_neither_image_has() -> None:
    dark, bright = torch.full((1, 3, 8, 8), -0.5), torch.full((1, 3, 8, 8), 0.5)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    pasted = dark * (1 - mask) + bright * mask
    assert float(seam_levels(dark, bright, pasted, mask)) > 20
    assert float(seam_levels(dark, pasted, pasted, mask)) == 0  # the feature image has the edge itself
    assert float(seam_levels(dark, bright, dark, mask)) == 0
    assert float(seam_levels(dark, bright, pasted, torch.zeros_like(mask))) == 0
