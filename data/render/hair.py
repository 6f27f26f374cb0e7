"""Hair: an outer shape around the skull, an opening for the face, strands that flow from the crown, a band of sheen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.render.canvas import Canvas, Field
from data.render.head import Head
from data.render.palette import hair_colour, mix, times
from data.render.scene import Colour
from data.render.seeds import Stream
from data.render.shapes import Egg, EggField, egg_field, lambert, ramp, wave


@dataclass(frozen=True)
class Cut:
    """A hair style's form, lengths in head units.

    volume, side: how far the hair stands off the skull above and at the sides; length: below the eyes;
    square: of the lower end; hairline: height of the hairline above the eyes; opening: half width of the
    face's opening relative to the face's; peak: dip of the hairline in the middle; tilt: fall of the hairline
    to one side; jag: depth of its points; front_end: where the hair in front ends at the temples (below the
    eyes); sheen, contrast, curl: looks; freq: locks across; sweep: how far the locks lie to one side.
    """

    volume: float
    side: float
    length: float
    square: float
    hairline: float
    opening: float
    flat: float
    peak: float
    tilt: float
    jag: float
    front_end: float
    sheen: float
    contrast: float
    curl: float
    freq: float
    sweep: float


_CUTS = {
    "slicked_back": Cut(0.09, 0.02, 0.40, 0.0, 0.60, 0.93, 0.30, 0.30, 0.0, 0.0, 0.02, 1.0, 0.34, 0.0, 4.2, 0.0),
    "short": Cut(0.12, 0.03, 0.40, 0.0, 0.42, 0.94, 0.45, 0.0, 0.22, 0.12, 0.07, 0.22, 0.20, 0.0, 3.4, 1.1),
    "bob": Cut(0.11, 0.15, 0.66, 0.85, 0.50, 0.86, 0.10, 0.0, 0.22, 0.0, 9.0, 0.62, 0.17, 0.0, 2.6, 0.0),
    "long": Cut(0.10, 0.13, 1.90, 0.95, 0.53, 0.88, 0.0, -0.16, 0.06, 0.0, 9.0, 0.62, 0.18, 0.0, 2.6, 0.0),
    "fringe": Cut(0.12, 0.14, 0.74, 0.88, 0.25, 0.90, 0.95, 0.0, 0.0, 0.05, 9.0, 0.66, 0.17, 0.0, 3.0, 0.0),
    "curly": Cut(0.16, 0.19, 0.52, 0.45, 0.44, 0.86, 0.30, 0.0, 0.05, 0.05, 9.0, 0.22, 0.22, 1.0, 3.0, 0.0),
}


def paint_hair_behind(canvas: Canvas, head: Head) -> None:
    """The hair behind neck and face, in shadow."""
    outer, flow = _outer(canvas, head, _cut(head))
    cover = canvas.edge(outer.inside)
    colour = times(hair_colour(head.scene.hair), 0.62, 0.58, 0.58)
    canvas.paint(cover, _streaked(colour, flow, 0.5 * _cut(head).contrast), "hair")
    canvas.light(cover, 0.55)


def paint_hair_front(canvas: Canvas, head: Head, skull: EggField) -> None:
    """The hair in front, its shadow on the forehead first."""
    cut = _cut(head)
    outer, flow = _outer(canvas, head, cut)
    opening = _opening(canvas, head, cut)
    distance = np.minimum(outer.inside, -opening.inside)
    if cut.front_end < 5.0:
        # Sideburns: longest beside the face, shorter around the ear.
        around_ear = np.maximum(np.abs(outer.q) - 0.88, 0.0)
        distance = np.minimum(distance, (cut.front_end + 0.05 - 0.55 * around_ear - canvas.v) * 0.75)
    shadow = ramp(distance, -0.075, 0.0) * canvas.edge(skull.inside)
    canvas.tint(shadow * 0.42, (0.72, 0.62, 0.62))
    cover = canvas.edge(distance)
    _paint_lit(canvas, head, cut, outer, flow, distance, cover)


def paint_strands(canvas: Canvas, head: Head) -> None:
    """A few locks that fall over the face, when the scene has them."""
    if not head.scene.hair.strands:
        return
    draw = Stream(head.scene.seed, "paint/strands")
    colour = hair_colour(head.scene.hair)
    side = draw.choice((-1.0, 1.0))
    top = head.spot(0.0, -_cut(head).hairline - 0.12)
    for index in range(3):
        start = top.u + side * (0.0 + 0.12 * index + draw.signed(0.02))
        swing = side * (0.20 + 0.05 * index + draw.signed(0.04))
        length = 0.60 + 0.15 * index + draw.signed(0.05) + (_cut(head).hairline - 0.4) * 0.7
        _paint_lock(canvas, (start, top.v), swing, length, colour)


def _cut(head: Head) -> Cut:
    return _CUTS[head.scene.hair.style]


def _length(head: Head, cut: Cut) -> tuple[float, float]:
    """Length and squareness; a fringe goes with a bob or with long hair."""
    if head.scene.hair.style == "fringe" and head.scene.hair.long_back:
        return _CUTS["long"].length, _CUTS["long"].square
    return cut.length, cut.square


def _outer(canvas: Canvas, head: Head, cut: Cut) -> tuple[EggField, Field]:
    """The hair's outer shape, and the place across its strands."""
    subject, (_, sin_yaw, cos_pitch, sin_pitch) = head.scene.subject, head.turn
    hair = head.scene.hair
    more = 0.75 + 0.5 * hair.volume
    length, square = _length(head, cut)
    egg = Egg(
        u=head.skull.u - 0.05 * sin_yaw,
        v=0.0,
        width=head.skull.width + cut.side * more,
        up=(subject.skull_height + cut.volume * more) * cos_pitch + 0.08 * sin_pitch,
        down=length,
        square_up=0.25 if cut.curl == 0.0 else 0.1,
        square_down=square,
        lean=0.0 if length > 1.0 else 0.06 * sin_yaw,
    )
    notch = -0.11 * _curls(canvas, head) if cut.curl > 0.0 else 0.0
    field = egg_field(egg, canvas.u, canvas.v, notch)
    # Strands are the meridians of the egg: they spread from the crown and hang down below.
    rise = np.maximum(1.0 - field.t_up * field.t_up * 0.96 - 0.12 * field.t_down, 0.03)
    flow = (canvas.u - egg.u) / (egg.width * np.sqrt(rise)) + 0.25 * hair.part * field.t_up
    side = 1.0 if hair.part >= 0.0 else -1.0
    return field, flow * (1.0 - 0.3 * cut.sweep) + (side * cut.sweep) * field.t_up if cut.sweep > 0.0 else flow


def _opening(canvas: Canvas, head: Head, cut: Cut) -> EggField:
    """The opening for the face: positive inside."""
    subject, hair = head.scene.subject, head.scene.hair
    line = head.spot(0.0, -cut.hairline)
    side = 1.0 if hair.part >= 0.0 else -1.0
    width = subject.face_width * cut.opening
    egg = Egg(
        u=0.75 * line.u,
        v=0.02,
        width=width,
        up=max(0.15, 0.02 - line.v),
        down=2.6,
        square_up=cut.flat,
        square_down=0.9,
        taper=0.0,
    )
    q = (canvas.u - egg.u) * (1.0 / width)
    above = ramp(-canvas.v, 0.05, 0.35)
    notch = cut.tilt * 1.2 * side * q * above
    if cut.peak != 0.0:
        middle = np.maximum(1.0 - q * q * (5.0 if cut.peak > 0.0 else 7.0), 0.0)
        notch = notch + (cut.peak if cut.peak > 0.0 else 2.0 * cut.peak) * middle * middle * above
    if cut.jag > 0.0:
        notch = notch + cut.jag * above * (0.6 * wave(q * 1.9 + hair.phase) + 0.4 * wave(q * 3.7 + 2.0 * hair.phase))
    if cut.curl > 0.0:
        notch = notch - 0.10 * _curls(canvas, head) * above
    return egg_field(egg, canvas.u, canvas.v, notch)


def _paint_lit(
    canvas: Canvas, head: Head, cut: Cut, outer: EggField, flow: Field, distance: Field, cover: Field
) -> None:
    hair = head.scene.hair
    colour = hair_colour(hair)
    strands = _strands(flow * cut.freq + hair.phase) * (1.0 - 0.8 * outer.t_up * outer.t_up * outer.t_up)
    if cut.curl > 0.0:
        strands = 0.4 * strands + 0.75 * _curls(canvas, head)
    canvas.paint(cover, _streaked(colour, flow, 0.0) * (1.0 + cut.contrast * strands), "hair")
    nx, ny, nz = outer.normal()
    ny = ny - 0.25 * ramp(outer.t_up, 0.2, 0.9)
    shade = lambert(nx, ny, nz + 0.2, head.light, wrap=0.4)
    # Roots lie deeper than the ends: darker towards the opening.
    depth = 0.80 + 0.20 * ramp(distance, 0.0, 0.12)
    level = outer.t_up + 0.16 * outer.q * outer.q + 0.05 * strands
    middle = 0.60 + 0.10 * cut.sheen - 0.12 * head.light[1]
    band = np.maximum(1.0 - (level - middle) * (level - middle) * (18.0 - 7.0 * cut.sheen), 0.0)
    sheen = cut.sheen * band * band * np.maximum(0.55 + 0.75 * strands, 0.0) * nz
    # Dark hair shines most: its sheen is the light's own colour, not the hair's.
    brightness = 0.50 - 0.10 * max(colour)
    canvas.light(cover, shade * depth, sheen * brightness * (0.4 + 0.6 * shade))


def _strands(phase: Field) -> Field:
    """Light and dark locks in [-1, 1]."""
    uneven = phase + 0.33 * wave(phase * 0.41 + 0.2)
    return 0.45 * wave(uneven) + 0.35 * wave(uneven * 1.73 + 0.31) + 0.20 * wave(uneven * 3.9 + 0.7)


def _streaked(colour: Colour, flow: Field, contrast: float) -> Field:
    base = np.asarray(colour, np.float32).reshape(3, 1, 1)
    return base * (1.0 + contrast * _strands(flow * 3.0))


def _curls(canvas: Canvas, head: Head) -> Field:
    """A field of round curls in [-1, 1]: three waves that cross at 60 degrees."""
    phase, turns = head.scene.hair.phase, 4.3
    u, v = canvas.u * turns, canvas.v * turns
    return (wave(u + phase) + wave(0.5 * u + 0.866 * v + 0.37) + wave(0.5 * u - 0.866 * v + 2.0 * phase)) * (1.0 / 2.4)


def _paint_lock(canvas: Canvas, start: tuple[float, float], swing: float, length: float, colour: Colour) -> None:
    u, v = start
    part = canvas.window(u - abs(swing) - 0.1, u + abs(swing) + 0.1, v - 0.02, v + length + 0.05)
    t = np.minimum(np.maximum((part.v - v) * (1.0 / length), 0.0), 1.0)
    across = (part.u - u - swing * t * (1.6 - 0.6 * t)) * 0.93
    half = 0.042 * ramp(t, -0.06, 0.16) * (1.0 - 0.9 * t * t * t) * (0.75 + 0.8 * t * (1.0 - t))
    ends = part.edge(np.minimum(part.v - v, v + length - part.v))
    cover = part.line(across, half) * ends
    shadow = np.maximum(1.0 - np.abs(across - 0.02) * (1.0 / 0.07), 0.0) * ends
    part.tint(shadow * (1.0 - t * t) * 0.3, (0.72, 0.62, 0.62))
    side = across / np.maximum(half, 0.004)
    round_off = 1.0 - 0.32 * np.minimum(np.abs(side), 1.5)
    part.paint(cover, np.asarray(mix(colour, (1.0, 0.95, 0.9), 0.05), np.float32).reshape(3, 1, 1) * round_off, "hair")
    part.light(cover, part.shade * 0.6 + 0.35, 0.03)
