"""Beards and moustaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.render.canvas import Canvas, Field
from data.render.features import mouth_spot
from data.render.head import Head
from data.render.palette import beard_colour
from data.render.shapes import EggField, egg_field, lambert, ramp, wave


def paint_beard(canvas: Canvas, head: Head, skull: EggField) -> None:
    """The beard of a scene that has one: jaw and chin, and a moustache; the mouth is painted over it."""
    beard = head.scene.beard
    if not beard.present:
        return
    egg = replace(
        head.skull,
        width=head.skull.width + 0.012,
        down=head.skull.down + 0.03 + 0.13 * beard.fullness,
        square_down=max(head.skull.square_down, 0.3 * beard.fullness),
    )
    field = egg_field(egg, canvas.u, canvas.v)
    top = _cheek_line(canvas, head, field)
    below = np.minimum(field.inside, top)
    # A soft upper border: 0.06 wide at any size.
    soft = ramp(top, -0.03, 0.05) * canvas.edge(field.inside)
    # It fades out below the temples, so that beard and hair stay two things.
    soft = soft * ramp(canvas.v - head.skull.v, 0.0, 0.12)
    if beard.moustache:
        soft = np.maximum(soft, _moustache(canvas, head))
    soft = soft * (1.0 - _bare_lip(canvas, head))
    _paint(canvas, head, field, soft, below)


def _cheek_line(canvas: Canvas, head: Head, field: EggField) -> Field:
    """Distance below the beard's upper border: low beside the mouth, rising to the ears."""
    mouth = mouth_spot(head)
    middle_u = mouth.u
    across = (canvas.u - middle_u) * (1.0 / head.skull.width)
    square = across * across
    rise = (0.42 + 0.10 * head.scene.beard.fullness) * np.minimum(square * (0.35 + square * 1.3), 1.25)
    return (canvas.v - (mouth.v + 0.015 - rise)) * 0.85


def _moustache(canvas: Canvas, head: Head) -> Field:
    subject = head.scene.subject
    mouth, nose = mouth_spot(head), head.spot(0.0, head.nose_down + 0.06, 0.05)
    width = subject.mouth_width * (1.22 + 0.2 * head.scene.expression.smile) + 0.05
    x = (canvas.u - mouth.u) * (1.0 / width)
    square = np.minimum(x * x, 1.4)
    lift = 0.05 * head.scene.expression.smile
    top = nose.v - 0.01 + square * (0.75 * (mouth.v - nose.v) + 0.02)
    bottom = mouth.v + 0.03 + square * (0.09 - lift)
    inside = np.minimum(np.minimum(canvas.v - top, bottom - canvas.v), (1.0 - np.abs(x)) * width)
    return ramp(inside, -0.012, 0.028)


def _bare_lip(canvas: Canvas, head: Head) -> Field:
    """The bare skin around the lips of a beard without moustache."""
    if head.scene.beard.moustache:
        return np.zeros_like(canvas.u)
    mouth = mouth_spot(head)
    smile, mouth_open = head.scene.expression.smile, head.scene.expression.mouth_open
    dx = (canvas.u - mouth.u) * (1.0 / (head.scene.subject.mouth_width * (1.12 + 0.24 * smile) + 0.02))
    dy = (canvas.v - mouth.v + 0.03 - 0.05 * mouth_open) * (1.0 / (0.14 + 0.08 * mouth_open))
    return 1.0 - ramp(dx * dx + dy * dy, 0.8, 1.15)


def _paint(canvas: Canvas, head: Head, field: EggField, cover: Field, below: Field) -> None:
    phase = head.scene.hair.phase
    strands = 0.5 * wave(field.q * 5.3 + 0.2 * wave(canvas.v * 2.1) + phase) + 0.5 * wave(
        field.q * 8.7 - canvas.v * 1.9 + phase
    )
    colour = np.asarray(beard_colour(head.scene.hair), np.float32).reshape(3, 1, 1)
    canvas.paint(cover * 0.96, colour * (1.0 + 0.15 * strands))
    nx, ny, nz = field.normal(flat=0.3)
    shade = lambert(nx, ny, nz + 0.25, head.light)
    mouth = mouth_spot(head)
    chin = np.maximum(1.0 - (canvas.u - mouth.u) * (canvas.u - mouth.u) * 8.0, 0.0)
    canvas.light(cover, shade * (0.86 + 0.14 * chin), 0.02 * chin * np.maximum(strands, 0.0) * ramp(below, 0.0, 0.1))
    canvas.mark(cover, "beard")
