"""A caption that lies teaches a CLIP the opposite of what it shows."""

from __future__ import annotations

import numpy as np
import pytest

from data.captions import all_phrases, draw_caption, prompts
from data.categories import CATEGORIES, Category
from data.errors import UserError

DRAWS = 400


@pytest.fixture(params=sorted(CATEGORIES))
def kind(request: pytest.FixtureRequest) -> Category[object, object]:
    return CATEGORIES[request.param]


def facts_of(caption: str) -> list[str]:
    return caption.split(" with ", 1)[1].split(", ")


def phrases(kind: Category[object, object]) -> dict[str, tuple[str, bool]]:
    """Every wording → the attribute and side it speaks of; the order of all_phrases is without, then with it."""
    all_of_them = [facts_of(sentence)[0] for sentence in all_phrases(kind.name)]
    each = len(all_of_them) // (2 * len(kind.attributes))
    said: dict[str, tuple[str, bool]] = {}
    for attribute in kind.attributes:
        for there, prompt in enumerate(prompts(kind.name, attribute)):
            first = all_of_them.index(facts_of(prompt)[0])
            said.update({phrase: (attribute, bool(there)) for phrase in all_of_them[first : first + each]})
    return said


def test_every_attribute_has_two_prompts_of_its_own(kind: Category[object, object]) -> None:
    pairs = [prompts(kind.name, attribute) for attribute in kind.attributes]
    assert len({prompt for pair in pairs for prompt in pair}) == 2 * len(kind.attributes)


def test_no_wording_speaks_of_two_facts(kind: Category[object, object]) -> None:
    wordings = [facts_of(sentence)[0] for sentence in all_phrases(kind.name)]
    assert len(set(wordings)) == len(wordings) == len(phrases(kind))


def test_captions_say_only_what_is_true(kind: Category[object, object]) -> None:
    draws, said = np.random.default_rng(0), phrases(kind)
    for _ in range(DRAWS):
        truth = {name: bool(draws.random() < 0.4) for name in kind.attributes}
        for fact in facts_of(draw_caption(kind.name, truth, draws)):
            attribute, there = said[fact]
            assert truth[attribute] == there, fact


def test_every_wording_is_drawn(kind: Category[object, object]) -> None:
    """One never drawn would be a word that the network cannot know."""
    draws, seen = np.random.default_rng(0), set()
    for _ in range(4 * DRAWS):
        truth = {name: bool(draws.random() < 0.4) for name in kind.attributes}
        seen.update(facts_of(draw_caption(kind.name, truth, draws)))
    assert seen == set(phrases(kind))


def test_long_captions_name_all_that_is_there_and_some_are_short() -> None:
    truth = {name: name in ("beard", "glasses", "smile", "old", "fringe") for name in CATEGORIES["face"].attributes}
    draws = np.random.default_rng(0)
    counts = np.array([len(facts_of(draw_caption("face", truth, draws))) for _ in range(DRAWS)])
    assert 0.2 < (counts <= 3).mean() < 0.4  # 0.3 ± 4 standard errors
    assert (counts[counts > 3] >= 5).all()


def test_same_seed_says_the_same_again(kind: Category[object, object]) -> None:
    truth = dict.fromkeys(kind.attributes, True)
    first, again, other = (draw_caption(kind.name, truth, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_attribute_without_a_sentence_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'glasses'"):
        prompts("face", "glases")
