"""A combined attribute has one name, knows its parts, and is refused where no face can have it."""

from __future__ import annotations

import pytest

from data.attribute_names import has_all, has_any, parts_of
from data.categories import check_combination, regions_of, with_attributes
from data.errors import UserError
from data.render import attributes, draw_scene

BOTH = "beard+slicked_back_hair"


def test_name_gives_its_parts() -> None:
    assert parts_of("smile") == ("smile",)
    assert parts_of(BOTH) == ("beard", "slicked_back_hair")


@pytest.mark.parametrize("wrong", ["slicked_back_hair+beard", "beard+beard+slicked_back_hair", "+beard", "beard+"])
def test_second_spelling_of_one_attribute_is_refused_with_the_right_one(wrong: str) -> None:
    right = BOTH if "slicked" in wrong else "beard"
    with pytest.raises(UserError) as refused:
        parts_of(wrong)
    assert repr(right) in refused.value.hint


def test_all_parts_and_any_part_are_told_apart() -> None:
    assert has_all(BOTH, ["slicked_back_hair", "smile", "beard"])
    assert not has_all(BOTH, ["beard"]) and has_any(BOTH, ["beard"])
    assert not has_any(BOTH, ["smile"])


def test_regions_are_the_union_without_repeats() -> None:
    assert regions_of(BOTH) == ("beard", "hair")
    assert regions_of("open_mouth+smile") == ("mouth", "beard", "skin", "nose", "eyes")


def test_counterfactual_scene_has_every_part_and_the_rest_as_before() -> None:
    for seed in range(12):
        before = draw_scene(seed)
        after = with_attributes(before, BOTH)
        changed = {name for name, value in attributes(after).items() if attributes(before)[name] != value}
        assert attributes(after)["beard"] and attributes(after)["slicked_back_hair"]
        # The hair style that was there goes; nothing else may.
        assert all(name.endswith("hair") or name in ("beard", "fringe") for name in changed)
        assert (after.subject, after.pose, after.light) == (before.subject, before.pose, before.light)


@pytest.mark.parametrize("name", ["fringe+slicked_back_hair", "blond_hair+grey_hair", "curly_hair+short_hair+smile"])
def test_parts_that_exclude_each_other_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="No face can have"):
        check_combination(name)


def test_possible_combinations_pass() -> None:
    for name in (BOTH, "beard", "glasses+smile", "beard+grey_hair+short_hair"):
        check_combination(name)


def test_unknown_part_is_named_with_its_nearest() -> None:
    with pytest.raises(UserError, match="'beerd'") as refused:
        regions_of("beerd+smile")
    assert "'beard'" in refused.value.hint
