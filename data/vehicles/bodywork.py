"""The car itself: body, wheels, lamps and cabin, each surface a flat panel in its own light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from data.render.scene import Colour
from data.vehicles.car import Car, Place
from data.vehicles.picture import Picture, Point, hull

SIDE: Place = (0.0, 1.0, 0.0)
UP: Place = (0.0, 0.0, 1.0)
BLACK: Colour = (0.07, 0.07, 0.08)
_WHITE: Colour = (0.96, 0.96, 0.95)
_CLEAR: Colour = (0.70, 0.80, 0.86)
_TINTED: Colour = (0.05, 0.055, 0.07)
_LAMP_ON: Colour = (1.0, 0.97, 0.68)
_LAMP_OFF: Colour = (0.30, 0.33, 0.37)
_TAIL_ON: Colour = (1.0, 0.16, 0.10)
_TAIL_OFF: Colour = (0.40, 0.05, 0.06)
_LIT_LAMP = 1.6  # shade of a lamp that shines: more than any light gives it

_Corner = tuple[float, float]  # x forward, z up


@dataclass(frozen=True)
class Cabin:
    """Where the cabin stands: x of its base's and its roof's ends, heights, half widths of base and roof."""

    base_front: float
    base_rear: float
    roof_front: float
    roof_rear: float
    base: float
    roof: float
    base_width: float
    roof_width: float


def cabin_of(car: Car) -> Cabin:
    """The cabin of a car."""
    s = car.scene.subject
    front, rear = s.half_length - s.hood, s.trunk - s.half_length
    roof_front = front - s.wind_run
    return Cabin(
        base_front=front,
        base_rear=rear,
        roof_front=roof_front,
        roof_rear=min(rear + s.rear_run, roof_front - 0.16),
        base=s.belt - 0.012,
        roof=s.belt + s.cabin,
        base_width=0.97 * s.half_width,
        roof_width=s.inset * s.half_width,
    )


def body_ends(car: Car) -> tuple[Place, Place]:
    """The middles of the seen side's front and rear end: the points that alignment moves."""
    s = car.scene.subject
    height = _crease(car)
    return (s.half_length, s.half_width, height), (-s.half_length, s.half_width, height)


def wheel_centres(car: Car) -> tuple[Place, Place]:
    """The hubs of the front and the rear wheel on the seen side."""
    s = car.scene.subject
    front, rear = s.half_length - s.front_axle, s.rear_axle - s.half_length
    return (front, s.half_width, s.wheel), (rear, s.half_width, s.wheel)


def paint_body(picture: Picture, car: Car) -> None:
    """Wheels' treads, body, stripe, wheels and lamps."""
    subject = car.scene.subject
    for x, y, z in wheel_centres(car):
        tread = car.side_plane(x, y - 0.10, z)
        picture.disc(tread, subject.wheel, car.exposed(BLACK, 0.2), "wheels")
    profile = _profile(car)
    width = subject.half_width
    corners = [(x, y, z) for x, z in profile for y in (-width, width)]
    # The outline first: two panels that share an edge would let the background shine through it.
    picture.polygon(hull(car.outline(corners)), car.lit(subject.paint, UP), "body")
    for first, second in pairwise(profile):
        _paint_crosswise(picture, car, first, second)
    side = car.outline([(x, width, z) for x, z in profile])
    _paint_side(picture, car, side)
    _paint_front(picture, car)
    _paint_lamps(picture, car, side)
    _paint_wheels(picture, car, side)


def paint_cabin(picture: Picture, car: Car) -> None:
    """Pillars, windows and roof."""
    c, paint = cabin_of(car), car.scene.subject.paint
    base = [(x, y, c.base) for x in (c.base_rear, c.base_front) for y in (-c.base_width, c.base_width)]
    roof = [(x, y, c.roof) for x in (c.roof_rear, c.roof_front) for y in (-c.roof_width, c.roof_width)]
    side_normal = (0.0, c.roof - c.base, c.base_width - c.roof_width)
    picture.polygon(hull(car.outline([*base, *roof])), car.lit(paint, side_normal), "body")
    picture.polygon(car.outline([roof[0], roof[1], roof[3], roof[2]]), car.lit(paint, UP), "roof")
    glass = _TINTED if car.scene.equipment.tinted_windows else _CLEAR
    wind_normal = (c.roof - c.base, 0.0, c.base_front - c.roof_front)
    windshield = _inset((base[2], base[3], roof[3], roof[2]), (0.06, 0.94), (0.06, 0.92))
    picture.polygon(car.outline(windshield), car.lit(glass, wind_normal), "windows")
    pillar = car.scene.subject.pillar
    near = (base[1], base[3], roof[3], roof[1])
    for span in ((0.05, pillar - 0.025), (pillar + 0.025, 0.93)):
        window = _inset(near, span, (0.10, 0.86))
        picture.polygon(car.outline(window), car.lit(glass, side_normal), "windows")


def _crease(car: Car) -> float:
    s = car.scene.subject
    return s.clearance + 0.52 * (s.belt - s.hood_drop - s.clearance)


def _profile(car: Car) -> list[_Corner]:
    """The body's outline from the side: from the front's foot over nose, hood, and tail to the rear's foot."""
    s = car.scene.subject
    nose = s.belt - s.hood_drop
    deck = s.belt - s.deck_drop
    return [
        (s.half_length - 0.04, s.clearance),
        (s.half_length, s.clearance + 0.05),
        (s.half_length, _crease(car)),
        (s.half_length - 0.05, nose),
        (s.half_length - s.hood, s.belt),
        (s.trunk - s.half_length, s.belt),
        (-s.half_length + 0.02, deck),
        (-s.half_length, _crease(car)),
        (-s.half_length, s.clearance + 0.06),
        (-s.half_length + 0.05, s.clearance),
    ]


def _paint_crosswise(picture: Picture, car: Car, first: _Corner, second: _Corner) -> None:
    """The panel across the car between two corners of the profile, when it is seen."""
    (x0, z0), (x1, z1) = first, second
    normal = (z1 - z0, 0.0, x0 - x1)
    if car.faces_viewer(normal):
        width = car.scene.subject.half_width
        corners = ((x0, -width, z0), (x0, width, z0), (x1, width, z1), (x1, -width, z1))
        picture.polygon(car.outline(corners), car.lit(car.scene.subject.paint, normal), "body")


def _paint_side(picture: Picture, car: Car, side: Sequence[Point]) -> None:
    """The seen side: paler at the shoulder, darker below the crease, with cladding and the stripe."""
    s, equipment = car.scene.subject, car.scene.equipment
    picture.polygon(side, car.lit(s.paint, (0.0, 1.0, 0.25)), "body")
    crease, reach = _crease(car), s.half_length
    whole = (-reach, reach)
    _band(picture, car, side, whole, (s.clearance, crease), car.lit(s.paint, (0.0, 1.0, -0.35)))
    _band(picture, car, side, whole, (s.clearance, s.clearance + 0.02 + 0.05 * s.cladding), car.exposed(BLACK, 0.4))
    if equipment.stripe:
        light_paint = 0.35 * s.paint_red + 0.5 * s.paint_green + 0.15 * s.paint_blue > 0.55
        middle = s.clearance + equipment.stripe_place * (s.belt - s.hood_drop - s.clearance)
        colour = car.lit(BLACK if light_paint else _WHITE, SIDE)
        _band(picture, car, side, (0.16 - reach, reach - 0.21), (middle - 0.045, middle + 0.045), colour, "stripe")


def _band(
    picture: Picture,
    car: Car,
    side: Sequence[Point],
    ends: tuple[float, float],
    heights: tuple[float, float],
    colour: Colour,
    region: str = "body",
) -> None:
    """A band along the seen side, between two ends and two heights."""
    low, high = heights
    (rear, front), width = ends, car.scene.subject.half_width
    corners = ((rear, width, low), (front, width, low), (front, width, high), (rear, width, high))
    picture.polygon(car.outline(corners), colour, region, within=side)


def _paint_front(picture: Picture, car: Car) -> None:
    """The grille and the lower bumper on the front."""
    s = car.scene.subject
    x, width = s.half_length, s.half_width
    low, high = s.clearance + 0.05, _crease(car)
    reach = width * (0.40 + 0.30 * s.grille)
    top = low + (0.55 + 0.40 * s.grille) * (high - low)
    grille = ((x, -reach, low + 0.02), (x, reach, low + 0.02), (x, reach, top), (x, -reach, top))
    picture.polygon(car.outline(grille), car.exposed(BLACK, 0.5), "body")
    foot = ((x - 0.04, -width, s.clearance), (x - 0.04, width, s.clearance), (x, width, low), (x, -width, low))
    picture.polygon(car.outline(foot), car.exposed(BLACK, 0.4), "body")


def _paint_lamps(picture: Picture, car: Car, side: Sequence[Point]) -> None:
    """Two headlights on the nose, the seen one drawn around the corner, and a tail light."""
    s, on = car.scene.subject, car.scene.equipment.lights_on
    low, high = _crease(car) - 0.012, s.belt - s.hood_drop - 0.01
    front, back, width = s.half_length, s.half_length - 0.045, s.half_width
    head = car.exposed(_LAMP_ON if on else _LAMP_OFF, _LIT_LAMP if on else 0.7)
    for inner, outer in ((0.42 * width, width), (-width, -0.42 * width)):
        corners = ((front, inner, low), (front, outer, low), (back, outer, high), (back, inner, high))
        picture.polygon(car.outline(corners), head, "lights")
    corners = ((front, width, low), (front - 0.14, width, low), (front - 0.14, width, high), (back, width, high))
    picture.polygon(car.outline(corners), head, "lights", within=side)
    rear = ((-front, width, low), (0.09 - front, width, low), (0.09 - front, width, high), (-front, width, high))
    tail = car.exposed(_TAIL_ON if on else _TAIL_OFF, _LIT_LAMP if on else 0.7)
    picture.polygon(car.outline(rear), tail, "lights", within=side)


def _paint_wheels(picture: Picture, car: Car, side: Sequence[Point]) -> None:
    s = car.scene.subject
    rim = car.lit((0.66, 0.68, 0.70), SIDE)
    for centre in wheel_centres(car):
        plane = car.side_plane(*centre)
        picture.disc(plane, 1.2 * s.wheel, car.exposed(BLACK, 0.1), "wheels", within=side)
        picture.disc(plane, s.wheel, car.exposed((0.10, 0.10, 0.11), 0.6), "wheels")
        picture.disc(plane, (0.48 + 0.24 * s.rim) * s.wheel, rim, "wheels")
        picture.disc(plane, 0.16 * s.wheel, car.exposed(BLACK, 0.6), "wheels")


def _inset(
    quad: tuple[Place, Place, Place, Place], across: tuple[float, float], up: tuple[float, float]
) -> list[Place]:
    """A part of a panel: `quad` is its foot's two ends and its top's, in a ring; shares of its width and height."""
    places = ((across[0], up[0]), (across[1], up[0]), (across[1], up[1]), (across[0], up[1]))
    foot_left, foot_right, head_right, head_left = quad
    return [_between(_between(foot_left, foot_right, s), _between(head_left, head_right, s), t) for s, t in places]


def _between(first: Place, second: Place, share: float) -> Place:
    x, y, z = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return x, y, z
