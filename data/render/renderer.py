"""Scenes to pictures with all their labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.render.accessories import paint_glasses, paint_occluder
from data.render.attributes import region_of
from data.render.backdrop import paint_background, paint_body
from data.render.beard import paint_beard
from data.render.canvas import Canvas, blank
from data.render.face import nose_tip, paint_ears, paint_nose, paint_skin, paint_wrinkles
from data.render.features import mouth_corners, paint_brows, paint_eyes, paint_mouth
from data.render.hair import paint_hair_behind, paint_hair_front, paint_strands
from data.render.head import Head, place_head, to_pixels
from data.render.regions import REGIONS
from data.render.scene import Scene
from data.render.shapes import egg_field
from data.starter import end_with_starter

MIN_SIZE_PX, MAX_SIZE_PX = 16, 1024


@dataclass(frozen=True)
class Rendered:
    """Pictures and their labels, one per scene.

    images uint8 N×H×W×3 (RGB); regions uint8 N×H×W (index into REGIONS); landmarks float32 N×5×2 (x, y in
    pixels, a pixel's centre is a whole number: left eye, right eye, nose tip, left and right mouth corner, left
    = left in the image); pose_deg float32 N×3 (yaw to the image's right, pitch up, roll clockwise); box float32
    N×4 (left, top, right, bottom of the face in pixels).
    """

    images: npt.NDArray[np.uint8]
    regions: npt.NDArray[np.uint8]
    landmarks: npt.NDArray[np.float32]
    pose_deg: npt.NDArray[np.float32]
    box: npt.NDArray[np.float32]


def render(scenes: Sequence[Scene], size_px: int = 64) -> Rendered:
    """Draw scenes at one size.

    Raises UserError when `size_px` is outside [16, 1024].
    """
    _check_size(size_px)
    images = np.empty((len(scenes), size_px, size_px, 3), np.uint8)
    regions = np.empty((len(scenes), size_px, size_px), np.uint8)
    heads = [place_head(scene) for scene in scenes]
    for index, head in enumerate(heads):
        canvas = _draw(head, size_px)
        images[index], regions[index] = _develop(canvas, head), canvas.label
    return Rendered(
        images=images,
        regions=regions,
        landmarks=np.array([_landmarks(head, size_px) for head in heads], np.float32).reshape(-1, 5, 2),
        pose_deg=np.array([_pose(scene) for scene in scenes], np.float32).reshape(-1, 3),
        box=np.array([_box(head, size_px) for head in heads], np.float32).reshape(-1, 4),
    )


def render_many(scenes: Sequence[Scene], size_px: int = 64, processes: int | None = None, chunk: int = 64) -> Rendered:
    """Draw scenes with several processes (default: one per core); the result is that of `render`."""
    _check_size(size_px)
    processes = processes or os.cpu_count() or 1
    if processes == 1 or len(scenes) <= chunk:
        return render(scenes, size_px)
    chunks = [scenes[start : start + chunk] for start in range(0, len(scenes), chunk)]
    # A forked child may inherit the locks of a threaded parent (torch, Dagster); a spawned one does not.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_starter) as pool:
        parts = list(pool.map(render, chunks, [size_px] * len(chunks)))
    return Rendered(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Rendered.__dataclass_fields__)
    )


def changed_region(first: Rendered, second: Rendered, attribute: str) -> npt.NDArray[np.bool_]:
    """Where an attribute may change the picture: its regions in either of two renderings. Shape N×H×W."""
    codes = [REGIONS.index(name) for name in region_of(attribute)]
    return np.isin(first.regions, codes) | np.isin(second.regions, codes)


def _check_size(size_px: int) -> None:
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise UserError(
            f"cannot render at {size_px} px: expected {MIN_SIZE_PX} to {MAX_SIZE_PX}", "choose a size in that range"
        )


def _draw(head: Head, size_px: int) -> Canvas:
    canvas = blank(size_px, head.frame)
    skull = egg_field(head.skull, canvas.u, canvas.v)
    paint_background(canvas, head)
    paint_hair_behind(canvas, head)
    paint_body(canvas, head, skull)
    paint_ears(canvas, head)
    paint_skin(canvas, head, skull)
    paint_wrinkles(canvas, head)
    paint_nose(canvas, head)
    paint_beard(canvas, head, skull)
    paint_mouth(canvas, head)
    paint_eyes(canvas, head)
    paint_brows(canvas, head)
    paint_glasses(canvas, head)
    paint_hair_front(canvas, head, skull)
    paint_strands(canvas, head)
    paint_occluder(canvas, head)
    return canvas


def _develop(canvas: Canvas, head: Head) -> npt.NDArray[np.uint8]:
    """Light the canvas and turn it into bytes, H×W×3."""
    light = head.scene.light
    image = np.empty((*canvas.label.shape, 3), np.uint8)
    for channel, warm in enumerate((0.09, 0.0, -0.13)):
        colour = light.exposure * (1.0 + warm * light.warmth)
        # Ambient light has half of the key's warmth.
        ambient = light.ambient * light.exposure * (1.0 + 0.5 * warm * light.warmth)
        value = (
            canvas.albedo[channel] * (ambient + (light.key * colour) * canvas.shade)
            + (light.key * colour) * canvas.gloss
        )
        # A soft shoulder above 0.8 keeps highlights from clipping.
        over = np.maximum(value - 0.8, 0.0)
        value = np.minimum(value, 0.8) + over / (1.0 + 2.2 * over)
        image[..., channel] = np.minimum(np.maximum(value * 255.0 + 0.5, 0.0), 255.0).astype(np.uint8)
    return image


def _landmarks(head: Head, size_px: int) -> list[tuple[float, float]]:
    spacing = head.scene.subject.eye_spacing
    left, right, tip = head.spot(-spacing, 0.0), head.spot(spacing, 0.0), nose_tip(head)
    points = [(left.u, left.v), (right.u, right.v), (tip.u, tip.v), *mouth_corners(head)]
    return [to_pixels(head, u, v, size_px) for u, v in points]


def _pose(scene: Scene) -> tuple[float, float, float]:
    return scene.pose.yaw_deg, scene.pose.pitch_deg, scene.pose.roll_deg


def _box(head: Head, size_px: int) -> tuple[float, float, float, float]:
    egg = head.skull
    corners = [(egg.u + side * egg.width, egg.v + end) for side in (-1.0, 1.0) for end in (-egg.up, egg.down)]
    xs, ys = zip(*(to_pixels(head, u, v, size_px) for u, v in corners), strict=True)
    return min(xs), min(ys), max(xs), max(ys)
