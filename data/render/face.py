"""The bare face: ears, skin, its relief and light, nose, wrinkles."""

from __future__ import annotations

import math

import numpy as np

from data.render.canvas import Canvas, Field
from data.render.head import Head, Spot
from data.render.palette import skin_colour, times
from data.render.shapes import Egg, EggField, Vector, blob, egg_field, lambert, ramp

Relief = tuple[Field, Field]


def paint_ears(canvas: Canvas, head: Head) -> None:
    """Both ears, behind the face; the one that turns away disappears."""
    subject, (_, sin_yaw, _, sin_pitch) = head.scene.subject, head.turn
    skin = skin_colour(subject, head.scene.age)
    for side in (-1.0, 1.0):
        away = max(0.0, side * sin_yaw)
        u = head.skull.u + side * (head.skull.width * 0.985 + subject.ear_out - 0.22 * away)
        v = subject.ear_down + 0.12 * sin_pitch
        size = subject.ear_size
        part = canvas.window(u - size, u + size, v - 1.3 * size, v + 1.5 * size)
        egg = egg_field(Egg(u, v, 0.62 * size, 1.05 * size, 1.25 * size, taper=0.25), part.u, part.v)
        cover = part.edge(egg.inside)
        part.paint(cover, times(skin, 0.97, 0.88, 0.86), "skin")
        nx, ny, nz = egg.normal()
        part.light(cover, lambert(nx * 0.7 + side * 0.35, ny * 0.6, nz + 0.25, head.light) * 0.9)
        inner = blob(part.u, part.v, u + side * 0.06 * size, v - 0.05 * size, 0.42 * size, 0.8 * size)
        part.tint(inner * cover, (0.72, 0.58, 0.56))


def paint_skin(canvas: Canvas, head: Head, skull: EggField) -> None:
    """The face's skin, lit over its relief: brow ridge, eye sockets, cheekbones, nose, lips' mound, chin."""
    scene, subject = head.scene, head.scene.subject
    cover = canvas.edge(skull.inside)
    canvas.paint(cover, skin_colour(subject, scene.age), "skin")
    _tint_skin(canvas, head, cover)
    nx, ny, nz = skull.normal(flat=0.45)
    nx, ny = nx.copy(), ny * 0.85
    _face_relief(canvas, head, nx, ny)
    _nose_relief(canvas, head, nx, ny)
    shade = lambert(nx, ny, nz + 0.12, head.light)
    nearness = np.maximum(1.0 - nz, 0.0)
    canvas.light(cover, shade, _shine(nx, ny, nz + 0.12, head.light) * 0.16 + nearness * nearness * shade * 0.05)
    canvas.tint(cover * np.maximum(1.0 - shade, 0.0), (1.0, 0.90, 0.89))  # light through skin is red


def paint_nose(canvas: Canvas, head: Head) -> None:
    """The nose's colour: wings, nostrils, the shadow below; the relief is in the skin's."""
    subject = head.scene.subject
    width, tip = subject.nose_width, nose_tip(head)
    base = head.spot(0.0, head.nose_down + 0.035, 0.07)
    part = canvas.window(tip.u - 0.3, tip.u + 0.3, tip.v - 0.42, tip.v + 0.22)
    shadow_u = base.u - 0.05 * head.light[0]
    part.tint(blob(part.u, part.v, shadow_u, base.v + 0.05, width * 1.15, 0.075) * 0.8, (0.70, 0.58, 0.56))
    inside = np.zeros_like(part.u)
    for side in (-1.0, 1.0):
        wing = head.spot(side * width * 0.84, head.nose_down - 0.005, 0.03)
        part.tint(_ring(part, wing, side, 0.052), (0.66, 0.52, 0.50))
        hole = head.spot(side * width * 0.46, head.nose_down + 0.034 - subject.nose_lift * 0.5, 0.08)
        part.tint(blob(part.u, part.v, hole.u, hole.v, 0.055, 0.032) * 0.9, (0.40, 0.24, 0.23))
        inside = np.maximum(inside, 1.2 * blob(part.u, part.v, wing.u, wing.v, 0.075, 0.085))
    side_distance, along = _bridge(part, head)
    ridge = (1.0 - side_distance * side_distance) * ramp(along, 0.18, 0.3) * (along < 1.0)
    inside = np.maximum(
        inside, np.maximum(ridge, 1.4 * blob(part.u, part.v, tip.u, tip.v, width, subject.nose_tip * 1.1))
    )
    part.mark(np.where(inside > 0.32, 1.0, 0.0).astype(np.float32), "nose")


def paint_wrinkles(canvas: Canvas, head: Head) -> None:
    """Forehead lines, crow's feet, folds beside the nose, bags under the eyes; their strength is the age."""
    age = head.scene.age
    strength = max(0.0, age - 0.25) / 0.75
    _paint_folds(canvas, head, 0.04 + 0.75 * strength + 0.35 * head.scene.expression.smile)
    if strength == 0.0:
        return
    for level, length in ((-0.33, 0.26), (-0.405, 0.30), (-0.48, 0.26)):
        spot = head.spot(0.0, level)
        _wrinkle(canvas, spot, 0.0, 0.0, length, -0.35, 0.017, 0.55 * strength)
    for side in (-1.0, 1.0):
        eye = head.spot(side * head.scene.subject.eye_spacing, 0.0)
        half = head.scene.subject.eye_width
        for lift, slope in ((-0.035, -0.45), (0.0, 0.0), (0.035, 0.45)):
            _wrinkle(canvas, eye, side * (half + 0.075), lift, 0.05, 0.0, 0.013, 0.5 * strength, side * slope)
        _wrinkle(canvas, eye, 0.0, 0.105, half * 0.95, -1.6, 0.018, 0.55 * strength)


def nose_tip(head: Head) -> Spot:
    """Where the tip of the nose is seen."""
    return head.spot(0.0, head.nose_down - head.scene.subject.nose_lift, 0.15)


def _tint_skin(canvas: Canvas, head: Head, cover: Field) -> None:
    subject = head.scene.subject
    blush = 0.12 + 0.6 * subject.blush + 0.2 * head.scene.expression.smile
    for side in (-1.0, 1.0):
        cheek = head.spot(side * subject.eye_spacing * 1.25, 0.30)
        canvas.tint(blob(canvas.u, canvas.v, cheek.u, cheek.v, 0.27, 0.22) * cover * blush, (1.0, 0.83, 0.82))
        socket = head.spot(side * subject.eye_spacing, -0.01)
        canvas.tint(blob(canvas.u, canvas.v, socket.u, socket.v, 0.23, 0.15) * cover * 0.6, (0.88, 0.79, 0.79))
    if subject.freckles > 0.0:
        _paint_freckles(canvas, head)
    for mole in subject.moles:
        spot = head.spot(mole.across, mole.down)
        part = canvas.window(spot.u - 0.06, spot.u + 0.06, spot.v - 0.06, spot.v + 0.06)
        du, dv = (part.u - spot.u) / spot.across, part.v - spot.v
        part.paint(part.edge(mole.radius - np.sqrt(du * du + dv * dv)) * mole.darkness, (0.22, 0.10, 0.07))


def _paint_freckles(canvas: Canvas, head: Head) -> None:
    subject = head.scene.subject
    for across, down in _FRECKLES:
        for side in (-1.0, 1.0):
            spot = head.spot(side * across + 0.012, down)
            part = canvas.window(spot.u - 0.04, spot.u + 0.04, spot.v - 0.04, spot.v + 0.04)
            part.tint(blob(part.u, part.v, spot.u, spot.v, 0.029, 0.027) * subject.freckles, (0.66, 0.49, 0.42))


_FRECKLES = (
    (0.16, 0.17),
    (0.22, 0.22),
    (0.29, 0.18),
    (0.35, 0.23),
    (0.26, 0.28),
    (0.18, 0.29),
    (0.40, 0.17),
    (0.33, 0.31),
    (0.08, 0.14),
)


def _face_relief(canvas: Canvas, head: Head, nx: Field, ny: Field) -> None:
    subject, age = head.scene.subject, head.scene.age
    smile = head.scene.expression.smile
    spacing = subject.eye_spacing
    mounds = [
        (0.0, head.mouth_down, 0.27, 0.19, 0.28),
        (0.0, subject.chin_length - 0.11, 0.17, 0.13, 0.5 * subject.chin_ball),
    ]
    for side in (-1.0, 1.0):
        mounds.append((side * spacing, 0.0, 0.21, 0.15, -0.42))
        mounds.append((side * spacing * 0.95, -subject.brow_height - 0.02, 0.22, 0.10, 0.20))
        mounds.append((side * spacing * 1.3, 0.27, 0.24, 0.19, 0.2 + 0.35 * subject.cheekbone + 0.22 * smile))
        mounds.append((side * spacing * 1.45, 0.50, 0.20, 0.20, -0.12 * subject.cheekbone - 0.3 * max(0.0, age - 0.3)))
    for across, down, width, height, slope in mounds:
        spot = head.spot(across, down)
        _add_mound(canvas, spot, width * spot.across, height * spot.down, slope, nx, ny)


def _nose_relief(canvas: Canvas, head: Head, nx: Field, ny: Field) -> None:
    subject, tip = head.scene.subject, nose_tip(head)
    side_distance, along = _bridge(canvas, head)
    rest = np.maximum(1.0 - side_distance * side_distance, 0.0)
    length = ramp(along, -0.15, 0.25) * (1.0 - ramp(along, 0.8, 1.12))
    nx += (2.6 * 0.55) * side_distance * rest * length
    _add_mound(canvas, tip, subject.nose_tip * 1.25, subject.nose_tip * 1.1, 0.75, nx, ny)
    for side in (-1.0, 1.0):
        wing = head.spot(side * subject.nose_width * 0.78, head.nose_down - 0.005, 0.06)
        _add_mound(canvas, wing, 0.062, 0.06, 0.5, nx, ny)


def _bridge(canvas: Canvas, head: Head) -> tuple[Field, Field]:
    """Distance from the nose's ridge in half widths (signed, to the right), and the place along it (0 top, 1 tip)."""
    subject, top, tip = head.scene.subject, head.spot(0.0, -0.06, 0.0), nose_tip(head)
    du, dv = tip.u - top.u, tip.v - top.v
    square = du * du + dv * dv
    along = ((canvas.u - top.u) * du + (canvas.v - top.v) * dv) * (1.0 / square)
    across = (canvas.u - top.u) - along * du
    place = np.minimum(np.maximum(along, 0.0), 1.0)
    width = subject.nose_bridge + (subject.nose_width * 0.9 - subject.nose_bridge) * place * place
    return np.minimum(np.maximum(across / width, -1.0), 1.0), along


def _add_mound(canvas: Canvas, spot: Spot, width: float, height: float, slope: float, nx: Field, ny: Field) -> None:
    """Tilt the normals by a soft mound whose steepest slope is about `slope` (negative: a hollow)."""
    du, dv = (canvas.u - spot.u) * (1.0 / width), (canvas.v - spot.v) * (1.0 / height)
    rest = np.maximum(1.0 - du * du - dv * dv, 0.0) * (2.6 * slope)
    nx += rest * du
    ny += rest * dv


def _shine(nx: Field, ny: Field, nz: Field, light: Vector) -> Field:
    """A highlight: the cosine to the half-way vector, to the 16th."""
    x, y, z = light[0], light[1], light[2] + 1.0
    norm = 1.0 / math.sqrt(x * x + y * y + z * z)
    facing = (nx * (x * norm) + ny * (y * norm) + nz * (z * norm)) / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-6)
    power: Field = np.maximum(facing, 0.0)
    for _ in range(4):
        power = power * power
    return power


def _ring(part: Canvas, wing: Spot, side: float, radius: float) -> Field:
    """The soft crease around the outer half of a nose's wing."""
    du, dv = (part.u - wing.u) * (1.0 / radius), (part.v - wing.v) * (1.0 / (radius * 1.1))
    distance = np.sqrt(du * du + dv * dv)
    band = np.maximum(1.0 - np.abs(distance - 1.0) * 2.2, 0.0)
    return band * ramp(side * du, -0.1, 0.8) * 0.75


def _paint_folds(canvas: Canvas, head: Head, strength: float) -> None:
    subject = head.scene.subject
    width = subject.mouth_width * (1.0 + 0.2 * head.scene.expression.smile)
    for side in (-1.0, 1.0):
        top = head.spot(side * (subject.nose_width + 0.03), head.nose_down - 0.02)
        end = head.spot(side * (width + 0.055), head.mouth_down + 0.02)
        part = canvas.window(min(top.u, end.u) - 0.1, max(top.u, end.u) + 0.1, top.v - 0.06, end.v + 0.06)
        t = np.minimum(np.maximum((part.v - top.v) * (1.0 / (end.v - top.v)), 0.0), 1.0)
        curve = top.u + (end.u - top.u) * t * (1.45 - 0.45 * t)
        fade = ramp(part.v, top.v - 0.04, top.v + 0.05) * (1.0 - ramp(part.v, end.v - 0.06, end.v + 0.04))
        soft = np.maximum(1.0 - np.abs(part.u - curve) * (1.0 / 0.05), 0.0)
        part.tint(soft * fade * min(strength, 1.0) * 0.75, (0.62, 0.48, 0.46))


def _wrinkle(
    canvas: Canvas,
    spot: Spot,
    across: float,
    down: float,
    length: float,
    bend: float,
    half_width: float,
    strength: float,
    slope: float = 0.0,
) -> None:
    """A soft line through a place on the face: y = slope·x + bend·x²."""
    u, v = spot.u + across * spot.across, spot.v + down * spot.down + across * spot.shear
    part = canvas.window(u - length, u + length, v - 0.1, v + 0.1)
    x = (part.u - u) * (1.0 / spot.across)
    y = part.v - v - (slope * x + bend * x * x)
    fade = np.maximum(1.0 - x * x * (1.0 / (length * length)), 0.0)
    soft = np.maximum(1.0 - np.abs(y) * (1.0 / (2.0 * half_width)), 0.0)
    part.tint(soft * fade * strength * 1.3, (0.55, 0.40, 0.38))
