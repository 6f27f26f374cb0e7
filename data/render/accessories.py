"""Glasses, and other things in front of a face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.render.canvas import Canvas, Field
from data.render.face import nose_tip
from data.render.head import Head, Spot
from data.render.palette import FRAMES, MASKS, mix, skin_colour, times
from data.render.shapes import egg_field, lambert, ramp


def paint_glasses(canvas: Canvas, head: Head) -> None:
    """Glasses, when the scene has them: two lenses, bridge, temples."""
    glasses = head.scene.glasses
    if not glasses.present:
        return
    spacing = max(head.scene.subject.eye_spacing, glasses.width + 0.035)
    spots = [head.spot(side * spacing, 0.02, 0.06) for side in (-1.0, 1.0)]
    _paint_bridge(canvas, head, spots)
    for side, spot in zip((-1.0, 1.0), spots, strict=True):
        _paint_lens(canvas, head, spot, side)


def paint_occluder(canvas: Canvas, head: Head) -> None:
    """A mask over nose and mouth, or a hand before the chin, when the scene has one."""
    kind = head.scene.occluder.kind
    if kind == "mask":
        _paint_mask(canvas, head)
    elif kind == "hand":
        _paint_hand(canvas, head)


def _paint_lens(canvas: Canvas, head: Head, spot: Spot, side: float) -> None:
    glasses = head.scene.glasses
    width = glasses.width
    reach = width + 0.5
    part = canvas.window(
        spot.u - (reach if side < 0 else width + 0.06),
        spot.u + (reach if side > 0 else width + 0.06),
        spot.v - 0.3,
        spot.v + 0.3,
    )
    x, y = (part.u - spot.u) * (1.0 / spot.across), part.v - spot.v - (part.u - spot.u) * (spot.shear / spot.across)
    rim = _lens_distance(x, y, width, width * (0.72 + 0.24 * glasses.roundness), glasses.roundness)
    colour = FRAMES[glasses.colour]
    lens = part.edge(rim)
    stripe = ramp(x * 0.8 + y + 0.02, -0.05, 0.0) * (1.0 - ramp(x * 0.8 + y + 0.02, 0.06, 0.11))
    part.paint(lens * (0.07 + 0.13 * stripe), (0.93, 0.97, 1.0), None)
    part.mark(part.edge(rim + glasses.thickness), "glasses")
    temple = (
        part.line(y + 0.05, 0.6 * glasses.thickness)
        * part.edge(side * x - width)
        * part.edge(_temple_end(part, head, side))
    )
    part.paint(temple, times(colour, 0.9, 0.9, 0.9), "glasses")
    frame = part.line(rim - 0.2 * glasses.thickness, glasses.thickness * 0.75)
    part.paint(frame, colour)
    part.light(frame, 0.75, 0.10 * np.maximum(1.0 - np.abs(rim - 0.3 * glasses.thickness) * 90.0, 0.0) * (y < 0.0))


def _temple_end(part: Canvas, head: Head, side: float) -> Field:
    end: Field = head.skull.width * 0.97 - side * (part.u - head.skull.u)
    return end


def _paint_bridge(canvas: Canvas, head: Head, spots: list[Spot]) -> None:
    left, right = spots
    glasses = head.scene.glasses
    part = canvas.window(left.u, right.u, min(left.v, right.v) - 0.15, max(left.v, right.v) + 0.1)
    middle, half = (left.u + right.u) / 2, (right.u - left.u) / 2
    x = (part.u - middle) * (1.0 / half)
    slope = (right.v - left.v) / 2
    arc = part.v - ((left.v + right.v) / 2 + slope * x - 0.06 + 0.14 * x * x)
    lens_edge = half - glasses.width * min(left.across, right.across)
    cover = part.line(arc, glasses.thickness * 0.75) * part.edge(lens_edge + 0.01 - np.abs(part.u - middle))
    part.paint(cover, FRAMES[glasses.colour], "glasses")
    part.light(cover, 0.75)


def _lens_distance(x: Field, y: Field, width: float, height: float, roundness: float) -> Field:
    """Distance inside a rounded rectangle."""
    corner = (0.45 + 0.53 * roundness) * height
    qx = np.maximum(np.abs(x) - (width - corner), 0.0)
    qy = np.maximum(np.abs(y) - (height - corner), 0.0)
    inner = np.minimum(np.maximum(np.abs(x) - width, np.abs(y) - height) + corner, 0.0)
    distance: Field = corner - np.sqrt(qx * qx + qy * qy) - inner
    return distance


def _paint_mask(canvas: Canvas, head: Head) -> None:
    egg = replace(head.skull, width=head.skull.width + 0.015, down=head.skull.down + 0.035)
    field = egg_field(egg, canvas.u, canvas.v)
    tip = nose_tip(head)
    across = (canvas.u - tip.u) * (1.0 / head.skull.width)
    square = np.minimum(across * across, 1.2)
    top = canvas.v - (tip.v - 0.16 + 0.24 * square - 0.10 * square * square)
    cover = canvas.edge(np.minimum(field.inside, top * 0.9))
    colour = MASKS[head.scene.occluder.colour]
    canvas.paint(cover, colour, "occluder")
    nx, ny, nz = field.normal(flat=0.2)
    ridge = np.maximum(1.0 - across * across * 4.0, 0.0)
    shade = lambert(nx + 0.5 * across * ridge, ny, nz + 0.3, head.light)
    canvas.light(cover, shade)
    for level in (0.20, 0.30, 0.40):
        fold = np.maximum(1.0 - np.abs(top - level + 0.05 * square) * 40.0, 0.0)
        canvas.tint(fold * cover * 0.6, (0.80, 0.82, 0.84))
    canvas.paint(canvas.line(top - 0.03, 0.012) * cover * 0.5, mix(colour, (1.0, 1.0, 1.0), 0.5))


def _paint_hand(canvas: Canvas, head: Head) -> None:
    subject, side = head.scene.subject, head.scene.occluder.side
    skin = times(skin_colour(subject, head.scene.age), 0.97, 0.92, 0.90)
    reach = head.mouth_down
    base_u, base_v = side * 0.34, subject.chin_length + 0.42
    _paint_finger(canvas, head, (base_u, base_v), (base_u - side * 0.05, reach + 0.34), 0.30, skin)
    tips = ((0.20, 0.02), (0.07, -0.08), (-0.07, -0.06), (-0.20, 0.06))
    for across, lift in tips:
        u = base_u + side * across * 0.95
        _paint_finger(
            canvas, head, (u - side * 0.02, reach + 0.34), (u - side * 0.10, reach + lift - 0.06), 0.074, skin
        )


def _paint_finger(
    canvas: Canvas,
    head: Head,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    skin: tuple[float, float, float],
) -> None:
    (u0, v0), (u1, v1) = start, end
    part = canvas.window(
        min(u0, u1) - radius - 0.08,
        max(u0, u1) + radius + 0.08,
        min(v0, v1) - radius - 0.08,
        max(v0, v1) + radius + 0.08,
    )
    du, dv = u1 - u0, v1 - v0
    along = ((part.u - u0) * du + (part.v - v0) * dv) * (1.0 / (du * du + dv * dv))
    place = np.minimum(np.maximum(along, 0.0), 1.0)
    x, y = part.u - u0 - place * du, part.v - v0 - place * dv
    distance = radius - np.sqrt(x * x + y * y)
    part.tint(ramp(distance, -0.05, 0.01) * 0.5, (0.66, 0.55, 0.54))
    cover = part.edge(distance)
    part.paint(cover, skin, "occluder")
    nx, ny = x * (0.95 / radius), y * (0.95 / radius)
    part.light(cover, lambert(nx, ny, np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.0)) + 0.1, head.light), 0.02)
    nail = part.edge(0.032 - np.sqrt((part.u - u1) * (part.u - u1) + (part.v - v1 + 0.018) * (part.v - v1 + 0.018)))
    if radius < 0.1:
        part.paint(nail * 0.5, (0.98, 0.80, 0.76))
