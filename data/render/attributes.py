"""Yes-or-no attributes of a scene, and the counterfactual: the same scene with one of them changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from data.errors import UserError
from data.render.regions import REGIONS
from data.render.scene import (
    HAIR_STYLES,
    Scene,
    draw_age,
    draw_eyes_open,
    draw_mouth_open,
    draw_natural_colour,
    draw_occluder_kind,
    draw_smile,
)
from data.render.seeds import Stream


@dataclass(frozen=True)
class _Attribute:
    name: str
    has: Callable[[Scene], bool]
    change: Callable[[Scene, bool], Scene]
    regions: tuple[str, ...]


def attributes(scene: Scene) -> dict[str, bool]:
    """Every attribute of a scene, in the order of ATTRIBUTES."""
    return {attribute.name: attribute.has(scene) for attribute in _ALL}


def with_attribute(scene: Scene, attribute: str, value: bool) -> Scene:
    """The counterfactual: the same subject, pose, light and background, with one attribute set.

    A scene that has the value already comes back unchanged. Raises UserError for an unknown attribute.
    """
    known = _find(attribute)
    return scene if known.has(scene) == value else known.change(scene, value)


def region_of(attribute: str) -> tuple[str, ...]:
    """The regions that an attribute changes. Raises UserError for an unknown attribute."""
    return _find(attribute).regions


def caption(scene: Scene) -> str:
    """A sentence that describes a scene: "a smiling face with slicked-back black hair and a beard"."""
    has = attributes(scene)
    adjectives = [word for name, word in (("old", "old"), ("smile", "smiling")) if has[name]]
    things = [f"{_STYLE_WORDS[scene.hair.style]} {_COLOUR_WORDS[scene.hair.colour]} hair"]
    things += [word for name, word in _THINGS if has[name]]
    if has["occluder"]:
        things.append({"mask": "a mask over the mouth", "hand": "a hand in front of the chin"}[scene.occluder.kind])
    subject = " ".join([*adjectives, "face"])
    article = "an" if subject[0] in "aeiou" else "a"
    listed = ", ".join(things[:-1]) + (" and " if len(things) > 1 else "") + things[-1]
    return f"{article} {subject} with {listed}"


_STYLE_WORDS = {
    "slicked_back": "slicked-back",
    "short": "short",
    "bob": "chin-length",
    "long": "long",
    "fringe": "fringed",
    "curly": "curly",
}
_COLOUR_WORDS = {"dark": "black", "brown": "brown", "red": "red", "blond": "blond", "grey": "grey"}
_THINGS = (
    ("strands", "strands over the face"),
    ("beard", "a beard"),
    ("glasses", "glasses"),
    ("open_mouth", "an open mouth"),
    ("closed_eyes", "closed eyes"),
)


def _find(name: str) -> _Attribute:
    if name not in _BY_NAME:
        raise UserError(f"unknown attribute {name!r}", f"choose one of: {', '.join(ATTRIBUTES)}")
    return _BY_NAME[name]


def _style(style: str) -> _Attribute:
    name = style if style == "fringe" else f"{style}_hair"

    def change(scene: Scene, value: bool) -> Scene:
        others = [other for other in HAIR_STYLES if other != style]
        chosen = style if value else Stream(scene.seed, f"without/{style}").choice(others)
        return replace(scene, hair=replace(scene.hair, style=chosen))

    return _Attribute(name, lambda scene: scene.hair.style == style, change, ("hair",))


def _colour(colour: str) -> _Attribute:
    def change(scene: Scene, value: bool) -> Scene:
        return replace(scene, hair=replace(scene.hair, colour=colour if value else _other_colour(scene.seed, colour)))

    return _Attribute(f"{colour}_hair", lambda scene: scene.hair.colour == colour, change, ("hair", "brows", "beard"))


def _other_colour(seed: int, colour: str) -> str:
    natural = draw_natural_colour(seed)
    if natural != colour:
        return natural
    return Stream(seed, f"without/{colour}").choice(
        [other for other in ("dark", "brown", "red", "blond") if other != colour]
    )


def _strands(scene: Scene, value: bool) -> Scene:
    return replace(scene, hair=replace(scene.hair, strands=value))


def _beard(scene: Scene, value: bool) -> Scene:
    return replace(scene, beard=replace(scene.beard, present=value))


def _glasses(scene: Scene, value: bool) -> Scene:
    return replace(scene, glasses=replace(scene.glasses, present=value))


def _smile(scene: Scene, value: bool) -> Scene:
    return replace(scene, expression=replace(scene.expression, smile=draw_smile(scene.seed, value)))


def _open_mouth(scene: Scene, value: bool) -> Scene:
    return replace(scene, expression=replace(scene.expression, mouth_open=draw_mouth_open(scene.seed, value)))


def _closed_eyes(scene: Scene, value: bool) -> Scene:
    return replace(scene, expression=replace(scene.expression, eyes_open=draw_eyes_open(scene.seed, not value)))


def _old(scene: Scene, value: bool) -> Scene:
    return replace(scene, age=draw_age(scene.seed, value))


def _occluder(scene: Scene, value: bool) -> Scene:
    kind = draw_occluder_kind(scene.seed) if value else "none"
    return replace(scene, occluder=replace(scene.occluder, kind=kind))


_FACE = ("skin", "nose", "mouth", "eyes", "beard")
_ALL: tuple[_Attribute, ...] = (
    *(_style(style) for style in HAIR_STYLES),
    _Attribute("strands", lambda scene: scene.hair.strands, _strands, ("hair",)),
    *(_colour(colour) for colour in ("dark", "blond", "grey")),
    _Attribute("beard", lambda scene: scene.beard.present, _beard, ("beard",)),
    _Attribute("glasses", lambda scene: scene.glasses.present, _glasses, ("glasses",)),
    _Attribute("smile", lambda scene: scene.expression.smile > 0.5, _smile, _FACE),
    _Attribute("open_mouth", lambda scene: scene.expression.mouth_open > 0.5, _open_mouth, ("mouth", "beard")),
    _Attribute("closed_eyes", lambda scene: scene.expression.eyes_open < 0.5, _closed_eyes, ("eyes",)),
    _Attribute("old", lambda scene: scene.age > 0.5, _old, ("skin", "nose", "eyes", "mouth", "body", "brows")),
    _Attribute("occluder", lambda scene: scene.occluder.kind != "none", _occluder, ("occluder",)),
)
_BY_NAME = {attribute.name: attribute for attribute in _ALL}
ATTRIBUTES: tuple[str, ...] = tuple(_BY_NAME)

assert all(region in REGIONS for attribute in _ALL for region in attribute.regions)
