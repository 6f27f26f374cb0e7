"""Eyes, brows and mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.render.canvas import Canvas, Field
from data.render.head import Head, Spot
from data.render.palette import brow_colour, iris_colour, lip_colour, mix, skin_colour, times
from data.render.shapes import blob, ramp

_LASH = (0.085, 0.055, 0.05)


def paint_eyes(canvas: Canvas, head: Head) -> None:
    """Both eyes: white, iris, pupil, highlight, lids and lashes."""
    for side in (-1.0, 1.0):
        spot = head.spot(side * head.scene.subject.eye_spacing, 0.0)
        _paint_eye(canvas, head, spot, side)


def paint_brows(canvas: Canvas, head: Head) -> None:
    """Both brows, thick inside and tapered outside."""
    subject = head.scene.subject
    colour = brow_colour(subject, head.scene.hair)
    for side in (-1.0, 1.0):
        spot = head.spot(side * (subject.eye_spacing + 0.008), -subject.brow_height)
        length = subject.brow_length
        part = canvas.window(spot.u - length - 0.03, spot.u + length + 0.03, spot.v - 0.17, spot.v + 0.17)
        x, y = _local(part, spot)
        out = x * (side / length)  # -1 at the inner end, 1 at the outer
        middle = -subject.brow_arch * (1.0 - (out - 0.25) * (out - 0.25)) - subject.brow_angle * 0.5 * length * out
        end = np.maximum(1.0 - out * out * out * out, 0.0)
        half = subject.brow_thickness * (1.0 - 0.42 * ramp(out, -0.2, 1.0)) * np.sqrt(end)
        cover = part.line(y - middle, half) * (0.78 + 0.22 * subject.brow_darkness)
        part.paint(cover, colour)
        part.mark(part.line(y - middle, half + 0.008) * (np.abs(out) < 1.0), "brows")
        part.light(cover, part.shade * 0.95)


def paint_mouth(canvas: Canvas, head: Head) -> None:
    """Lips, and teeth and tongue when the mouth is open."""
    mouth = _mouth_shape(head)
    spot, width = mouth_spot(head), mouth.half_width
    part = canvas.window(spot.u - width - 0.05, spot.u + width + 0.05, spot.v - 0.22, spot.v + 0.36)
    x, y = _local(part, spot)
    t = x * (1.0 / width)
    arch = 1.0 - t * t
    line = mouth.centre_line(t)
    full = arch * (1.55 - 0.55 * np.maximum(arch, 0.0))
    upper_edge, lower_edge = line - mouth.gap * 0.3 * full, line + mouth.gap * 0.7 * full
    bow = 1.0 - mouth.bow * np.maximum(1.0 - np.abs(t) * 3.6, 0.0)
    top = upper_edge - mouth.upper * arch * bow * (1.0 + 0.25 * arch)
    bottom = lower_edge + mouth.lower * arch * (1.0 + 0.25 * arch)
    shadow = blob(
        part.u, part.v, spot.u, spot.v + mouth.centre + mouth.gap * 0.7 + mouth.lower * 1.25 + 0.035, width * 0.8, 0.05
    )
    part.tint(shadow * 0.6, (0.74, 0.62, 0.60))
    ends = part.edge((1.0 - np.abs(t)) * width + 0.01)
    _paint_gape(part, t, y, upper_edge, lower_edge, mouth.gap, ends)
    _paint_lips(part, head, (t, y, arch), (top, upper_edge), (lower_edge, bottom), ends)
    part.mark(part.edge(y - top + 0.004) * part.edge(bottom - y + 0.004) * ends, "mouth")


def mouth_spot(head: Head) -> Spot:
    """Where the middle of the mouth is seen."""
    return head.spot(0.0, head.mouth_down, 0.05)


def mouth_corners(head: Head) -> tuple[tuple[float, float], tuple[float, float]]:
    """The corners of the mouth in head coordinates, left of the image first."""
    mouth, spot = _mouth_shape(head), mouth_spot(head)
    rise = mouth.corner
    reach = mouth.half_width * spot.across
    slope = mouth.half_width * spot.shear
    return (spot.u - reach, spot.v + rise * spot.down - slope), (spot.u + reach, spot.v + rise * spot.down + slope)


@dataclass(frozen=True)
class _Mouth:
    """A mouth's measures after expression; `lift` is how far the corners rise above the middle."""

    half_width: float
    gap: float
    upper: float
    lower: float
    bow: float
    lift: float

    @property
    def centre(self) -> float:
        """How far the middle sinks when the corners rise."""
        return self.lift * 0.36

    @property
    def corner(self) -> float:
        """Height of the corners."""
        return self.centre - self.lift

    def centre_line(self, t: Field) -> Field:
        """Height of the line between the lips at t in [-1, 1]."""
        square = t * t
        line: Field = self.centre - self.lift * square * (0.75 + 0.25 * square)
        return line


def _mouth_shape(head: Head) -> _Mouth:
    subject, expression = head.scene.subject, head.scene.expression
    smile = expression.smile
    return _Mouth(
        half_width=subject.mouth_width * (1.0 + 0.24 * smile - 0.10 * expression.mouth_open * (1.0 - smile)),
        gap=0.135 * expression.mouth_open,
        upper=subject.lip_upper * (1.0 - 0.22 * smile),
        lower=subject.lip_lower * (1.0 - 0.16 * smile),
        bow=subject.lip_bow * (1.0 - 0.5 * smile),
        lift=0.105 * smile + 0.010 - subject.mouth_curve,
    )


def _paint_gape(part: Canvas, t: Field, y: Field, upper: Field, lower: Field, gap: float, ends: Field) -> None:
    if gap <= 0.0:
        return
    cover = part.edge(y - upper) * part.edge(lower - y) * ends
    part.paint(cover, (0.20, 0.05, 0.06))
    part.light(cover, 0.55)
    tongue = cover * ramp(y - (upper + gap * 0.58), 0.0, 0.03) * (np.abs(t) < 0.8)
    part.paint(tongue * 0.9, (0.66, 0.27, 0.28))
    teeth = part.edge(y - upper) * part.edge(upper + 0.36 * gap - y) * part.edge((0.86 - np.abs(t)) * 0.2) * ends
    part.paint(teeth, (0.97, 0.95, 0.91))
    part.light(teeth, 0.62)


def _paint_lips(
    part: Canvas,
    head: Head,
    place: tuple[Field, Field, Field],
    upper: tuple[Field, Field],
    lower: tuple[Field, Field],
    ends: Field,
) -> None:
    t, y, arch = place
    colour = lip_colour(head.scene.subject, skin_colour(head.scene.subject, head.scene.age))
    cover = part.edge(y - upper[0]) * part.edge(upper[1] - y) * ends
    part.paint(cover, times(colour, 0.87, 0.80, 0.82))
    part.light(cover, part.shade * 0.9)
    cover = part.edge(y - lower[0]) * part.edge(lower[1] - y) * ends
    part.paint(cover, colour)
    depth = (y - lower[0]) / np.maximum(lower[1] - lower[0], 0.004)
    offset = t + 0.25 - 0.3 * head.light[0]
    glow = np.maximum(1.0 - (depth - 0.42) * (depth - 0.42) * 9.0 - offset * offset * 3.0, 0.0)
    part.light(cover, part.shade * (1.08 - 0.25 * depth), 0.28 * glow * glow)
    seam = part.line(y - (upper[1] + lower[0]) * 0.5, 0.010 * np.maximum(arch, 0.25)) * ends
    if head.scene.expression.mouth_open == 0.0:
        part.paint(seam * 0.85, times(colour, 0.38, 0.26, 0.28))


def _local(part: Canvas, spot: Spot) -> tuple[Field, Field]:
    """Coordinates on the face around a spot."""
    x = (part.u - spot.u) * (1.0 / spot.across)
    y = (part.v - spot.v - x * spot.shear) * (1.0 / spot.down)
    return x, y


def _paint_eye(canvas: Canvas, head: Head, spot: Spot, side: float) -> None:
    subject = head.scene.subject
    half = subject.eye_width
    part = canvas.window(spot.u - half - 0.06, spot.u + half + 0.06, spot.v - 0.17, spot.v + 0.15)
    x, y = _local(part, spot)
    out = x * side
    y = y + subject.eye_slant * out
    t = out * (1.0 / half)
    arch = 1.0 - t * t
    height = half * subject.eye_aspect
    opened = -0.60 * height * arch * (1.0 - 0.18 * t)
    bottom = 0.40 * height * arch * (1.0 + 0.15 * t)
    upper = bottom + (opened - bottom) * head.scene.expression.eyes_open
    cover = part.edge(y - upper) * part.edge(bottom - y) * part.edge((1.0 - np.abs(t)) * half)
    if head.scene.expression.eyes_open == 0.0:
        cover = np.zeros_like(cover)
    _paint_lids(part, head, (t, y), upper, opened)
    _paint_ball(part, head, (x, y), upper, cover)
    _paint_lashes(part, head, (t, y), upper, bottom)
    reach = part.edge((1.04 - np.abs(t)) * half)
    part.mark(part.edge(y - opened + 0.024) * part.edge(bottom + 0.010 - y) * reach, "eyes")


def _paint_lids(part: Canvas, head: Head, place: tuple[Field, Field], upper: Field, opened: Field) -> None:
    t, y = place
    reach = ramp(1.12 - np.abs(t), 0.0, 0.3)
    crease = 0.030 + 0.022 * head.scene.subject.lid_crease
    line = np.maximum(1.0 - np.abs(y - opened + crease) * (1.0 / 0.020), 0.0)
    part.tint(line * reach * (0.35 + 0.6 * head.scene.subject.lid_crease), (0.52, 0.36, 0.34))
    lid = ramp(y - opened, -crease, 0.0) * ramp(upper - y, -0.005, 0.005) * reach
    part.tint(lid * 0.5, (0.86, 0.74, 0.74))


def _paint_ball(part: Canvas, head: Head, place: tuple[Field, Field], upper: Field, cover: Field) -> None:
    x, y = place
    scene, radius = head.scene, head.scene.subject.iris_size
    part.paint(cover, (0.97, 0.965, 0.96))
    lid_shadow = 1.0 - ramp(y - upper, 0.0, 0.05)
    part.light(cover, 0.45 * part.shade + 0.45 - 0.30 * lid_shadow)
    dx, dy = x - scene.expression.gaze_x * radius, y - (scene.expression.gaze_y - 0.12) * radius
    distance = np.sqrt(dx * dx + dy * dy)
    iris = iris_colour(scene.subject)
    disc = part.edge(radius - distance) * cover
    part.paint(disc, times(iris, 0.42, 0.42, 0.45))
    part.paint(part.edge(radius * 0.84 - distance) * cover, iris)
    bright = blob(
        x,
        y,
        scene.expression.gaze_x * radius,
        scene.expression.gaze_y * radius + 0.42 * radius,
        radius * 0.95,
        radius * 0.7,
    )
    part.paint(bright * disc * 0.45, mix(iris, (1.0, 1.0, 1.0), 0.45))
    part.paint(part.edge(radius * 0.44 - distance) * cover, (0.03, 0.025, 0.03))
    sign = 1.0 if head.light[0] >= 0.0 else -1.0
    gx, gy = dx - sign * 0.34 * radius, dy + 0.36 * radius
    spark = part.edge(radius * 0.27 - np.sqrt(gx * gx + gy * gy)) * cover
    part.paint(spark, (1.0, 1.0, 1.0))
    part.light(spark, 0.95)


def _paint_lashes(part: Canvas, head: Head, place: tuple[Field, Field], upper: Field, bottom: Field) -> None:
    t, y = place
    reach = ramp(1.16 - np.abs(t), 0.0, 0.16)
    thick = (0.010 + 0.013 * head.scene.subject.lash) * (1.0 + 0.35 * t)
    wing = 0.03 * np.maximum(t - 0.75, 0.0)
    lash = part.line(y - upper + wing + thick * 0.4, thick) * reach
    part.paint(lash * 0.95, _LASH)
    part.light(lash, 0.4)
    if head.scene.expression.eyes_open > 0.0:
        part.tint(part.line(y - bottom, 0.009) * reach * 0.55, (0.42, 0.28, 0.26))
