"""Colours: skin, hair, eyes, lips, frames."""

from __future__ import annotations

from data.render.scene import Colour, Hair
from data.render.subject import Subject

_SKIN: tuple[Colour, ...] = (
    (1.0, 0.87, 0.79),
    (0.97, 0.78, 0.66),
    (0.88, 0.65, 0.49),
    (0.68, 0.46, 0.33),
    (0.47, 0.30, 0.22),
)
_IRIS: tuple[Colour, ...] = (
    (0.20, 0.12, 0.08), (0.36, 0.22, 0.11), (0.58, 0.40, 0.14), (0.38, 0.52, 0.26),
    (0.24, 0.52, 0.50), (0.26, 0.50, 0.80), (0.58, 0.68, 0.76),
)  # fmt: skip
_HAIR: dict[str, tuple[Colour, Colour]] = {
    "dark": ((0.075, 0.06, 0.065), (0.15, 0.10, 0.085)),
    "brown": ((0.33, 0.19, 0.10), (0.46, 0.29, 0.17)),
    "red": ((0.56, 0.20, 0.07), (0.72, 0.33, 0.12)),
    "blond": ((0.80, 0.60, 0.29), (0.95, 0.80, 0.50)),
    "grey": ((0.60, 0.61, 0.64), (0.86, 0.86, 0.88)),
}
FRAMES: tuple[Colour, ...] = ((0.07, 0.07, 0.09), (0.34, 0.15, 0.07), (0.62, 0.10, 0.14), (0.10, 0.20, 0.42))
MASKS: tuple[Colour, ...] = ((0.62, 0.82, 0.90), (0.94, 0.95, 0.96), (0.16, 0.17, 0.20))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, the rest of the first."""
    return (
        first[0] + share * (second[0] - first[0]),
        first[1] + share * (second[1] - first[1]),
        first[2] + share * (second[2] - first[2]),
    )


def times(colour: Colour, red: float, green: float, blue: float) -> Colour:
    """A colour with its channels multiplied."""
    return colour[0] * red, colour[1] * green, colour[2] * blue


def skin_colour(subject: Subject, age: float) -> Colour:
    """A subject's skin in white light; it pales a little with age."""
    base = _along(_SKIN, subject.melanin)
    base = times(base, 1.0 + 0.025 * subject.undertone, 1.0, 1.0 - 0.10 * subject.undertone)
    grey = (base[0] + base[1] + base[2]) / 3.0
    return mix(base, (grey, grey, grey), 0.16 * age)


def iris_colour(subject: Subject) -> Colour:
    """A subject's iris."""
    return _along(_IRIS, subject.eye_iris)


def lip_colour(subject: Subject, skin: Colour) -> Colour:
    """A subject's lips: the skin's colour, redder."""
    red = mix((0.86, 0.34, 0.36), (0.52, 0.14, 0.17), subject.melanin)
    return mix(times(skin, 0.90, 0.68, 0.66), red, 0.12 + 0.62 * subject.lip_red)


def hair_colour(hair: Hair) -> Colour:
    """The colour of a scene's hair."""
    base = mix(*_HAIR[hair.colour], hair.shade)
    return times(base, 1.0 + 0.04 * hair.tint, 1.0, 1.0 - 0.04 * hair.tint)


def brow_colour(subject: Subject, hair: Hair) -> Colour:
    """Brows follow the hair, darker."""
    return mix(times(hair_colour(hair), 0.62, 0.58, 0.56), (0.11, 0.075, 0.06), 0.55 * subject.brow_darkness)


def beard_colour(hair: Hair) -> Colour:
    """Beards follow the hair, a little darker and redder."""
    return times(hair_colour(hair), 0.84, 0.78, 0.76)


def _along(colours: tuple[Colour, ...], place: float) -> Colour:
    steps = len(colours) - 1
    index = min(int(place * steps), steps - 1)
    return mix(colours[index], colours[index + 1], place * steps - index)
