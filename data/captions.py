"""What is said of a picture: sentences made of the attributes that it has and has not, in several wordings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from data.errors import UserError

SHORT_SHARE = 0.3
"""Share of captions that name one to three facts, as a prompt does; the others name all that a picture has."""
SHORT_FACTS = 3
ABSENT_SHARE = 0.15
"""How often a full caption also names an attribute that the picture lacks."""

Wordings = tuple[tuple[str, ...], tuple[str, ...]]
"""How its absence and its presence are put; the first wording of each is the prompt's."""

_FACE: Mapping[str, Wordings] = {
    "slicked_back_hair": (("hair not slicked back", "no slicked back hair"), ("slicked back hair", "hair combed back")),
    "short_hair": (("no short hair", "hair that is not short"), ("short hair", "short cut hair")),
    "bob_hair": (("no bob", "no chin length hair"), ("a bob", "chin length hair")),
    "long_hair": (("no long hair", "hair that is not long"), ("long hair", "hair to the shoulders")),
    "fringe": (("no fringe", "a bare forehead"), ("a fringe", "hair over the forehead")),
    "curly_hair": (("no curls", "straight hair"), ("curly hair", "curls")),
    "strands": (("no strands over the face", "no loose strands"), ("strands over the face", "loose strands")),
    "dark_hair": (("no dark hair", "hair that is not dark"), ("dark hair", "black hair")),
    "blond_hair": (("no blond hair", "hair that is not blond"), ("blond hair", "fair hair")),
    "grey_hair": (("no grey hair", "hair that is not grey"), ("grey hair", "white hair")),
    "beard": (("no beard", "a shaven chin"), ("a beard", "a bearded chin")),
    "glasses": (("no glasses", "bare eyes"), ("glasses", "spectacles")),
    "smile": (("no smile", "a serious mouth"), ("a smile", "smile face")),
    "open_mouth": (("a closed mouth", "closed lips"), ("an open mouth", "parted lips")),
    "closed_eyes": (("open eyes", "eyes wide open"), ("closed eyes", "eyes shut")),
    "old": (("young skin", "no wrinkles"), ("old skin", "wrinkles")),
    "occluder": (("nothing in front", "no mask or hand in front"), ("something in front", "a mask or hand in front")),
}
_VEHICLE: Mapping[str, Wordings] = {
    "roof_box": (("no roof box", "a bare roof"), ("a roof box", "a box on the roof")),
    "spoiler": (("no spoiler", "a plain tail"), ("a spoiler", "a wing on the tail")),
    "stripe": (("no stripe", "plain sides"), ("a stripe", "a stripe along its side")),
    "lights_on": (("lights off", "dark lamps"), ("lights on", "bright lamps")),
    "tinted_windows": (("clear windows", "windows of clear glass"), ("tinted windows", "dark windows")),
}
_SUBJECTS: Mapping[str, tuple[str, Mapping[str, Wordings]]] = {
    "face": ("a face", _FACE),
    "vehicle": ("a car", _VEHICLE),
}


def prompts(category: str, attribute: str) -> tuple[str, str]:
    """The two sentences between which an attribute is told without training: without it, and with it.

    Raises UserError for an attribute of which nothing is said.
    """
    subject, wordings = _SUBJECTS[category]
    if attribute not in wordings:
        near = difflib.get_close_matches(attribute, wordings, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(wordings)}."
        raise UserError(f"No caption of a {category} speaks of {attribute!r}.", hint)
    without, there = wordings[attribute]
    return f"{subject} with {without[0]}", f"{subject} with {there[0]}"


def draw_caption(category: str, attributes: Mapping[str, bool], draws: np.random.Generator) -> str:
    """A true sentence about a picture with these attributes, its facts, their order and wording drawn.

    Three in ten name a few facts, present or absent; the others name everything that is there.
    """
    subject, wordings = _SUBJECTS[category]
    names = [name for name in draws.permutation(list(attributes)) if name in wordings]
    if draws.random() < SHORT_SHARE:
        names = names[: draws.integers(1, SHORT_FACTS + 1)]
    else:
        absent = draws.random(len(names)) < ABSENT_SHARE
        names = [name for name, named in zip(names, absent, strict=True) if attributes[name] or named] or names[:1]
    facts = [str(draws.choice(wordings[name][int(attributes[name])])) for name in names]
    return f"{subject} with {', '.join(facts)}"


def all_phrases(category: str) -> Sequence[str]:
    """Every sentence with one fact, in a fixed order: their words are all that captions are made of."""
    subject, wordings = _SUBJECTS[category]
    sides = (side for pair in wordings.values() for side in pair)
    return [f"{subject} with {phrase}, " for side in sides for phrase in side]
