"""Which car is in the picture: the parameters that stay with a vehicle."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from data.render.scene import Colour
from data.render.seeds import Stream

_Range = tuple[float, float]


@dataclass(frozen=True)
class VehicleSubject:
    """A car's identity. Lengths are in units of half the picture; `kind` is the family that its form was drawn from.

    half_length, half_width: of the body; clearance, belt: heights of its lower and upper edge above the ground; cabin:
    height of the cabin above the belt; hood, trunk: lengths before and behind the cabin; wind_run, rear_run: how far
    the windshield and the rear window lean; hood_drop, deck_drop: how far nose and tail lie below the belt; inset: the
    roof's width over the body's; wheel: radius; front_axle, rear_axle: distances from the body's ends; pillar: place
    of the pillar between the side windows, [0, 1]; rim, cladding, grille: sizes, [0, 1]; paint: red, green,
    blue.
    """

    seed: int
    kind: str
    half_length: float
    half_width: float
    clearance: float
    belt: float
    cabin: float
    hood: float
    trunk: float
    wind_run: float
    rear_run: float
    hood_drop: float
    deck_drop: float
    inset: float
    wheel: float
    front_axle: float
    rear_axle: float
    pillar: float
    rim: float
    cladding: float
    grille: float
    paint_red: float
    paint_green: float
    paint_blue: float

    @property
    def paint(self) -> Colour:
        """The body's colour in white light."""
        return self.paint_red, self.paint_green, self.paint_blue


@dataclass(frozen=True)
class _Kind:
    """The ranges that a family's forms are drawn from."""

    half_length: _Range
    clearance: _Range
    belt: _Range
    cabin: _Range
    hood: _Range
    trunk: _Range
    wind_run: _Range
    rear_run: _Range
    wheel: _Range


_KINDS = {
    "sedan": _Kind(
        (0.68, 0.76), (0.06, 0.07), (0.29, 0.32), (0.17, 0.20), (0.38, 0.44),
        (0.22, 0.29), (0.18, 0.24), (0.14, 0.20), (0.115, 0.13),
    ),
    "hatchback": _Kind(
        (0.58, 0.66), (0.06, 0.07), (0.31, 0.35), (0.19, 0.23), (0.30, 0.36),
        (0.02, 0.06), (0.16, 0.22), (0.08, 0.16), (0.115, 0.13),
    ),
    "off_roader": _Kind(
        (0.64, 0.72), (0.09, 0.11), (0.36, 0.40), (0.20, 0.24), (0.36, 0.42),
        (0.01, 0.04), (0.09, 0.14), (0.02, 0.07), (0.145, 0.165),
    ),
    "van": _Kind(
        (0.66, 0.74), (0.06, 0.08), (0.34, 0.38), (0.26, 0.31), (0.17, 0.23),
        (0.01, 0.03), (0.13, 0.19), (0.01, 0.04), (0.115, 0.13),
    ),
    "coupe": _Kind(
        (0.66, 0.74), (0.05, 0.06), (0.27, 0.30), (0.14, 0.165), (0.46, 0.54),
        (0.12, 0.18), (0.19, 0.25), (0.22, 0.30), (0.125, 0.14),
    ),
}  # fmt: skip
_KIND_WEIGHTS = (("sedan", 0.26), ("hatchback", 0.24), ("off_roader", 0.18), ("van", 0.16), ("coupe", 0.16))


def draw_subject(subject_seed: int) -> VehicleSubject:
    """The car of a seed. The same seed is always the same car."""
    kind = Stream(subject_seed, "vehicle/kind").weighted(_KIND_WEIGHTS)
    red, green, blue = _paint(Stream(subject_seed, "vehicle/paint"))
    return VehicleSubject(
        seed=subject_seed,
        kind=kind,
        **_form(Stream(subject_seed, "vehicle/form"), _KINDS[kind]),
        **_details(Stream(subject_seed, "vehicle/details")),
        paint_red=red,
        paint_green=green,
        paint_blue=blue,
    )


def traits(subject: VehicleSubject) -> tuple[float, ...]:
    """The numbers that say which car it is, in the order of TRAITS: a teacher of identity."""
    values = asdict(subject)
    return tuple(float(values[name]) for name in TRAITS)


TRAITS: tuple[str, ...] = tuple(name for name in VehicleSubject.__dataclass_fields__ if name not in ("seed", "kind"))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from hue (period 1), saturation and value, each in [0, 1]."""

    def channel(offset: float) -> float:
        place = (offset + hue * 6.0) % 6.0
        return value * (1.0 - saturation * max(0.0, min(1.0, place, 4.0 - place)))

    return channel(5.0), channel(3.0), channel(1.0)


def _form(draw: Stream, kind: _Kind) -> dict[str, float]:
    return {name: draw.uniform(*getattr(kind, name)) for name in kind.__dataclass_fields__}


def _details(draw: Stream) -> dict[str, float]:
    return {
        "half_width": draw.uniform(0.27, 0.31),
        "hood_drop": draw.uniform(0.03, 0.08),
        "deck_drop": draw.uniform(0.0, 0.03),
        "inset": draw.uniform(0.74, 0.88),
        "front_axle": draw.uniform(0.22, 0.27),
        "rear_axle": draw.uniform(0.22, 0.28),
        "pillar": draw.uniform(0.40, 0.62),
        "rim": draw.unit(),
        "cladding": draw.unit(),
        "grille": draw.unit(),
    }


def _paint(draw: Stream) -> Colour:
    if draw.chance(0.3):  # white, silver, grey
        return hsv(draw.unit(), draw.uniform(0.0, 0.06), draw.uniform(0.45, 0.95))
    return hsv(draw.unit(), draw.uniform(0.55, 0.9), draw.uniform(0.5, 0.92))
