"""Costs are compared at the same success, and a verdict needs an interval on one side of zero."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluation.fusion.edit_measures import Ratio
from evaluation.fusion.pareto import COSTS, Comparison, Curve, at_success, compare, curve_record, not_won
from evaluation.fusion.pareto_picture import pareto_picture
from evaluation.metrics.intervals import Bootstrap

FACES = 200
BOOTSTRAP = Bootstrap(replicates=300, seed=1)


def curve(key: str, success: list[float], change: list[float], spread: float = 0.1) -> Curve:
    """A method whose edits succeed on given shares of 200 faces, at a cost that differs from face to face."""
    draws = np.random.default_rng(len(key))
    order = draws.permutation(FACES)
    one = np.ones((len(success), FACES))
    succeeded = np.stack([(order < share * FACES).astype(np.float64) for share in success])
    cost = np.array(change)[:, None] + spread * draws.standard_normal((len(success), FACES))
    measures = {
        "success": Ratio(succeeded, one),
        "change_outside": Ratio(cost, one),
        "identity_cosine": Ratio(0.9 * one, one),
        "seam": Ratio(cost, one),
    }
    return Curve(key, key, tuple(0.25 * (i + 1) for i in range(len(success))), measures)


def found(comparisons: tuple[Comparison, ...], success: float, cost: str = "change_outside") -> Comparison:
    return next(one for one in comparisons if one.success == success and one.cost == cost and not one.highest)


def test_cost_is_read_where_the_level_is_first_reached() -> None:
    success = np.array([[0.0, 0.4, 0.8, 0.6], [0.0, 0.4, 0.6, 0.7], [0.0, 0.0, 0.5, 0.9]])
    values = np.array([[0.0, 1.0, 3.0, 9.0], [0.0, 1.0, 3.0, 9.0], [0.0, 1.0, 3.0, 9.0]])
    read = at_success(success, values, np.array([0.5, 0.75, 0.5]))
    # By hand: 1 + 2·(0.5−0.4)/0.4; never reached; exactly at the third point.
    assert read[0] == pytest.approx(1.5) and np.isnan(read[1]) and read[2] == pytest.approx(3.0)


def test_cheaper_method_wins_and_the_other_way_round_loses() -> None:
    cheap, dear = curve("cheap", [0.5, 0.8, 0.97], [0.1, 0.2, 0.3]), curve("dear", [0.5, 0.8, 0.97], [1.0, 2.0, 3.0])
    ahead, behind = compare(cheap, dear, BOOTSTRAP), compare(dear, cheap, BOOTSTRAP)
    assert found(ahead, 0.9).verdict == "wins" and not not_won(ahead, "dear")
    assert found(behind, 0.9).verdict == "loses" and len(not_won(behind, "cheap")) == 5
    one = found(ahead, 0.75)
    assert one.ours is not None and one.theirs is not None and one.interval is not None
    assert one.interval[0] <= one.ours - one.theirs <= one.interval[1] < 0


def test_equal_methods_show_no_difference() -> None:
    first, second = curve("one", [0.5, 0.97], [1.0, 2.0], 2.0), curve("other", [0.5, 0.97], [1.0, 2.0], 2.0)
    compared = compare(first, second, BOOTSTRAP)
    assert found(compared, 0.9).verdict == "open" and not_won(compared, "other")
    assert found(compared, 0.9, "identity_cosine").verdict == "open"


def test_higher_identity_wins() -> None:
    first, second = curve("one", [0.97], [1.0]), curve("two", [0.97], [1.0])
    worse = Ratio(0.5 * np.ones((1, FACES)), np.ones((1, FACES)))
    second = Curve("two", "two", second.strengths, {**second.measures, "identity_cosine": worse})
    one = found(compare(first, second, BOOTSTRAP), 0.9, "identity_cosine")
    assert one.verdict == "wins" and one.interval is not None and one.interval[0] > 0


def test_method_that_never_succeeds_loses_at_the_levels_it_misses_only() -> None:
    weak, strong = curve("weak", [0.2, 0.6], [0.01, 0.02]), curve("strong", [0.6, 0.97], [1.0, 2.0])
    compared = compare(strong, weak, BOOTSTRAP)
    missed, reached = found(compared, 0.9), found(compared, 0.5)
    assert missed.theirs is None and missed.interval is None and missed.verdict == "wins"
    assert reached.verdict == "loses"
    highest = next(one for one in compared if one.highest and one.cost == "change_outside")
    assert highest.success == pytest.approx(0.6) and highest.verdict == "loses"
    both = compare(weak, curve("faint", [0.1], [0.01]), BOOTSTRAP)
    assert found(both, 0.9).verdict == "neither"


def test_method_without_any_success_is_compared_without_an_error() -> None:
    nothing = curve("nothing", [0.0, 0.0], [0.0, 0.0])
    compared = compare(nothing, nothing, BOOTSTRAP)
    assert {one.verdict for one in compared} == {"neither"} and len(compared) == 5 * len(COSTS)
    json.dumps(curve_record(nothing), allow_nan=False)


def test_baseline_is_shown_at_a_strength_of_like_success() -> None:
    one = curve("one", [0.3, 0.6, 0.9], [1.0, 2.0, 3.0])
    assert one.strength_like(0.6) == one.strength_like(0.61) == 0.5
    assert one.strength_like(1.0) == 0.75  # never so successful: its best


def test_picture_is_a_function_of_the_curves() -> None:
    first, second = curve("one", [0.3, 0.9], [0.0, 2.0]), curve("two", [0.2, 0.5], [5.0, 20.0])
    picture = pareto_picture([first, second], "beard", "attribute_eval")
    assert picture.dtype == np.uint8 and picture.shape == (648, 1032, 3)
    assert np.array_equal(picture, pareto_picture([first, second], "beard", "attribute_eval"))
    assert not np.array_equal(picture, pareto_picture([second, first], "beard", "attribute_eval"))
