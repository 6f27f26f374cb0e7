"""What the complexity rule must hold (METHODS A6)."""

import numpy as np
import pytest
import torch

from training.complexity import FusionPresets, complexity, evenly_spread, mean_region_area, schedule_for
from training.fusion_schedule import LayerSpec


def test_complexity_rises_with_attributes_and_with_area() -> None:
    values = [[complexity(attributes, area) for area in (0.0, 0.1, 0.4, 1.0)] for attributes in (1, 2, 3)]
    assert np.all(np.diff(values, axis=0) > 0) and np.all(np.diff(values, axis=1) > 0)
    assert (complexity(1, 0.0), complexity(1, 0.25), complexity(2, 0.25)) == (1, 2, 4)


def test_larger_schedule_from_the_threshold_on() -> None:
    """At the threshold itself it is the larger one."""
    larger = (LayerSpec(layer="8/2"), LayerSpec(layer="16/2", a=0.0))
    presets = FusionPresets(larger=larger, joint="intersection", complexity_threshold=2.0, input="z")
    below, decision = schedule_for(presets, 1, 0.2499)
    assert (below.layers, decision.preset) == (presets.smaller, "smaller")
    at, decision = schedule_for(presets, 1, 0.25)
    assert (at.layers, at.joint, at.input) == (larger, "intersection", "z")
    assert decision.model_dump() == {
        "preset": "larger",
        "attributes": 1,
        "region_area": 0.25,
        "complexity": 2.0,
        "threshold": 2.0,
    }


def test_area_is_the_mean_over_all_images() -> None:
    """More images than one batch, the last one partial: 32 at 0 and 8 at 1 are a fifth."""
    images = np.zeros((40, 4, 4, 3), np.uint8)
    images[32:] = 255
    area = mean_region_area(lambda batch: (batch[:, :1] + 1) / 2, images)
    assert area == pytest.approx(0.2)
    assert mean_region_area(lambda batch: torch.zeros(len(batch), 1, 4, 4), images) == 0


def test_measured_images_are_spread_over_the_set() -> None:
    assert evenly_spread(3).tolist() == [0, 1, 2]
    rows = evenly_spread(1000)
    assert len(set(rows.tolist())) == 256 and (rows[0], rows[-1]) == (0, 999)
    assert len(evenly_spread(0)) == 0
