"""What is behind and below the head: background, neck, clothes."""

from __future__ import annotations

import numpy as np

from data.render.canvas import Canvas, Field
from data.render.head import Head
from data.render.palette import mix, skin_colour, times
from data.render.shapes import EggField, blob, lambert, ramp

BACKGROUND_SHADE = 0.72
_NECK_BASE = 0.93  # of the picture's half height, below its middle


def paint_background(canvas: Canvas, head: Head) -> None:
    """A soft gradient with a glow behind the head and a few discs out of focus."""
    backdrop = head.scene.backdrop
    upper, lower = (np.asarray(colour, np.float32).reshape(3, 1, 1) for colour in (backdrop.upper, backdrop.lower))
    place = ramp(canvas.y + backdrop.slant * canvas.x, -1.3, 1.3)
    canvas.albedo[...] = upper + (lower - upper) * place
    canvas.shade[...] = BACKGROUND_SHADE
    for x, y, radius, strength in backdrop.discs:
        dx, dy = canvas.x - x, canvas.y - y
        # The distance's edge is a tenth of the disc wide: out of focus, and the same at every size.
        inside = ramp(radius - np.sqrt(dx * dx + dy * dy), -0.06, 0.06)
        canvas.paint(inside * strength, (1.0, 0.98, 0.94))
    canvas.paint(blob(canvas.x, canvas.y, 0.0, -0.1, 1.25, 1.25) * 0.16, (1.0, 1.0, 1.0))


def paint_body(canvas: Canvas, head: Head, skull: EggField) -> None:
    """Neck and clothes, with the head's shadow on them."""
    base_x = 0.75 * head.frame[0]
    chin_shadow = ramp(skull.inside, -0.20, 0.03)
    _paint_neck(canvas, head, base_x, chin_shadow)
    _paint_clothes(canvas, head, base_x, chin_shadow)


def _paint_neck(canvas: Canvas, head: Head, base_x: float, chin_shadow: Field) -> None:
    subject, scale = head.scene.subject, head.frame[2]
    reach = (canvas.y - head.frame[1]) * (1.0 / (_NECK_BASE - head.frame[1]))  # 0 at the head's middle, 1 at the collar
    flare = np.maximum(canvas.y - 0.72, 0.0)
    width = (subject.neck_width + 1.6 * flare * flare) * scale
    across = (canvas.x - (head.frame[0] + reach * (base_x - head.frame[0]))) / width
    cover = canvas.edge((1.0 - np.abs(across)) * (width * (1.0 / scale))) * (canvas.y > head.frame[1])
    skin = skin_colour(subject, head.scene.age)
    canvas.paint(cover, times(skin, 0.94, 0.90, 0.89), "body")
    height = np.sqrt(np.maximum(1.0 - across * across, 0.0)) + 0.15
    shade = lambert(0.9 * across, 0.25 * height, height, head.scene.light.direction)
    canvas.light(cover, shade * (0.88 - 0.62 * chin_shadow))


def _paint_clothes(canvas: Canvas, head: Head, base_x: float, chin_shadow: Field) -> None:
    cloth = head.scene.backdrop.cloth
    x = canvas.x - base_x
    slope = np.abs(x)
    shoulder = canvas.y - (0.80 + 0.20 * slope + 0.24 * np.maximum(slope - 0.62, 0.0) * slope)
    opening = _collar_opening(head, x, canvas.y)
    cover = canvas.edge(np.minimum(shoulder * 0.95, opening))
    canvas.paint(cover, cloth, "body")
    tilt = np.maximum(1.0 - 0.45 * x * x, 0.2)
    shade = lambert(x * 0.85, -0.35 * tilt, tilt, head.scene.light.direction)
    canvas.light(cover, shade * (0.92 - 0.5 * chin_shadow))
    light_cloth = mix(cloth, (1.0, 1.0, 1.0), 0.28)
    if head.scene.backdrop.collar == "shirt":
        light_cloth = mix(cloth, (1.0, 1.0, 1.0), 0.72)
    thickness = 0.075 if head.scene.backdrop.collar == "shirt" else 0.03
    canvas.paint(canvas.line(opening - thickness, thickness) * canvas.edge(shoulder) * 0.85, light_cloth)


def _collar_opening(head: Head, x: Field, y: Field) -> Field:
    """Distance from the neckline; positive on the cloth."""
    width = head.scene.subject.neck_width * head.frame[2]
    if head.scene.backdrop.collar == "crew":
        across = x * (1.0 / (width * 1.12))
        return (y - (_NECK_BASE - 0.16 * across * across + 0.02)) * 0.85
    depth = 1.06 if head.scene.backdrop.collar == "v" else 1.0
    return (y - depth + np.abs(x) * (0.26 / width)) * 0.8
