"""The renderer: pictures and labels that never change, and counterfactuals that change one thing."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.errors import UserError
from data.render import (
    ATTRIBUTES,
    HAIR_STYLES,
    REGIONS,
    Rendered,
    Scene,
    attributes,
    caption,
    changed_region,
    draw_scene,
    draw_subject,
    region_of,
    render,
    render_many,
    seeds,
    with_attribute,
)

# A hash that differs means that every picture, network and figure made before is of another data set.
GOLDEN_64 = "c6f97448fc250ce07affef812103e984566e66ae296646f91ef3214f03838a75"
GOLDEN_128 = "d3d83aae14270ac6184f96f4070a8452c7b476edbb08515be3eaa1b58ff367aa"


def _hash(rendered: Rendered) -> str:
    digest = hashlib.sha256()
    for name in ("images", "regions", "landmarks", "pose_deg", "box"):
        digest.update(getattr(rendered, name).tobytes())
    return digest.hexdigest()


def _golden_scenes() -> list[Scene]:
    """Every hair style, every attribute on and off, both occluders."""
    scenes = [draw_scene(seed) for seed in range(20)]
    scenes += [with_attribute(draw_scene(100 + i), name, True) for i, name in enumerate(ATTRIBUTES)]
    mask = draw_scene(140)
    return [*scenes, *(replace(mask, occluder=replace(mask.occluder, kind=kind)) for kind in ("mask", "hand"))]


def test_pixels_and_labels_at_64_px_are_the_golden_ones() -> None:
    assert _hash(render(_golden_scenes(), 64)) == GOLDEN_64


def test_pixels_and_labels_at_128_px_are_the_golden_ones() -> None:
    assert _hash(render(_golden_scenes()[:6], 128)) == GOLDEN_128


def test_a_scene_renders_alone_as_in_a_batch_and_over_processes() -> None:
    scenes = [draw_scene(seed) for seed in range(6)]
    together = render(scenes, 64)
    assert np.array_equal(render(scenes[3:4], 64).images[0], together.images[3])
    assert _hash(render_many(scenes, 64, processes=2, chunk=3)) == _hash(together)


def test_scene_survives_json() -> None:
    scenes = [draw_scene(seed) for seed in range(40)]
    assert [Scene.from_json(scene.to_json()) for scene in scenes] == scenes


def test_text_that_is_no_scene_is_a_users_error() -> None:
    for text in ("", "{}", "[1]", '{"seed": 1}'):
        with pytest.raises(UserError):
            Scene.from_json(text)


def test_size_out_of_range_is_a_users_error() -> None:
    with pytest.raises(UserError, match="2048"):
        render([draw_scene(1)], 2048)


def test_no_scenes_give_empty_arrays_of_the_right_shape() -> None:
    empty = render([], 32)
    assert empty.images.shape == (0, 32, 32, 3)
    assert empty.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_counterfactual_changes_the_picture_only_in_the_attributes_region(attribute: str) -> None:
    without = [scene for scene in map(draw_scene, range(500, 540)) if not attributes(scene)[attribute]][:12]
    with_it = [with_attribute(scene, attribute, True) for scene in without]
    assert all(attributes(scene)[attribute] for scene in with_it)
    first, second = render(without), render(with_it)
    mask = _dilated(changed_region(first, second, attribute))
    error = np.square(first.images.astype(np.float64) - second.images)
    # The bar for editors is 28 dB; the truth itself has to be far above it (measured: 39 dB or more on 60 scenes each).
    assert 10 * np.log10(255**2 / max(error[~mask].mean(), 1e-9)) > 36
    assert error[mask].mean() > 4 * error[~mask].mean() + 1


def test_counterfactual_keeps_everything_else() -> None:
    scene = draw_scene(7)
    for attribute in ATTRIBUTES:
        for value in (False, True):
            other = with_attribute(scene, attribute, value)
            assert attributes(other)[attribute] is value
            kept = ("seed", "subject", "pose", "light", "backdrop")
            assert all(getattr(other, name) == getattr(scene, name) for name in kept)
            assert with_attribute(other, attribute, value) is other


def test_exactly_one_hair_style_holds() -> None:
    names = [style if style == "fringe" else f"{style}_hair" for style in HAIR_STYLES]
    for scene in map(draw_scene, range(50)):
        assert sum(attributes(scene)[name] for name in names) == 1


def test_unknown_attribute_is_named_in_the_error() -> None:
    with pytest.raises(UserError, match="moustach"):
        with_attribute(draw_scene(1), "moustach", True)
    with pytest.raises(UserError, match="moustach"):
        region_of("moustach")


def test_marginals_are_those_promised() -> None:
    flags = [attributes(draw_scene(seed)) for seed in range(3000)]
    promised = {"beard": 0.25, "slicked_back_hair": 0.18, "short_hair": 0.25, "glasses": 0.12, "smile": 0.40}
    for name, share in {**promised, "occluder": 0.04, "strands": 0.15}.items():
        # Four standard errors of 3,000 draws are at most 0.036.
        assert abs(np.mean([flag[name] for flag in flags]) - share) < 0.036, name


def test_landmarks_lie_on_their_regions() -> None:
    scenes = [_bare(draw_scene(seed)) for seed in range(60, 100)]
    rendered = render(scenes, 128)
    for points, regions in zip(rendered.landmarks, rendered.regions, strict=True):
        eyes = [_region_at(regions, point) for point in points[:2]]
        assert eyes == ["eyes", "eyes"]
        assert _region_at(regions, points[2]) == "nose"
        for point in points[3:]:
            assert _distance_to(regions, point, "mouth") < 5  # the mouth's corners taper to less than a pixel


def test_eyes_lie_where_a_portrait_has_them() -> None:
    eyes = render([draw_scene(seed) for seed in range(200)], 64).landmarks[:, :2] / 64
    spacing = np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)
    assert 0.235 < spacing.mean() < 0.27
    assert np.allclose(eyes.mean(axis=(0, 1)), (0.49, 0.45), atol=0.01)
    assert eyes.mean(axis=1).std(axis=0).max() < 0.03


def test_64_and_256_px_show_the_same_picture() -> None:
    scenes = [draw_scene(seed) for seed in range(12)]
    small, large = render(scenes, 64).images, render(scenes, 256).images
    shrunk = np.stack([cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in large])
    error = np.square(shrunk.astype(np.float64) - small).mean()
    assert 10 * np.log10(255**2 / error) > 28  # edges differ by the shape of the pixel filter


def test_a_subjects_identity_is_the_same_in_every_scene() -> None:
    subject = draw_subject(seeds.USER.start)
    assert all(draw_scene(seed, subject).subject == subject for seed in range(5))
    assert draw_subject(1) != draw_subject(2)


def test_colours_do_not_give_a_subject_away() -> None:
    subjects = [draw_subject(seeds.JUDGES_EVAL.start + i) for i in range(200)]
    known, asked = (
        _histograms(render([draw_scene(base + i, subject) for i, subject in enumerate(subjects)], 64).images)
        for base in (0, 10_000)
    )
    nearest = np.abs(known[None] - asked[:, None]).sum(axis=2).argmin(axis=1)
    assert (nearest == np.arange(200)).mean() <= 0.20


def test_seed_ranges_never_meet() -> None:
    ranges = [seeds.SHIPPED_WEIGHTS, seeds.JUDGES_TRAIN, seeds.JUDGES_EVAL, seeds.HELD_OUT_JUDGES, seeds.USER]
    for earlier, later in itertools.pairwise(ranges):
        assert earlier.stop <= later.start


def test_caption_names_what_is_seen() -> None:
    scene = with_attribute(with_attribute(draw_scene(11), "beard", True), "slicked_back_hair", True)
    text = caption(with_attribute(with_attribute(scene, "dark_hair", True), "smile", True))
    assert "smiling" in text
    assert "slicked-back black hair" in text
    assert "a beard" in text


def _bare(scene: Scene) -> Scene:
    for attribute in ("glasses", "strands", "occluder", "closed_eyes"):
        scene = with_attribute(scene, attribute, False)
    return scene


def _dilated(masks: np.ndarray) -> np.ndarray:
    return np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for mask in masks])


def _region_at(regions: np.ndarray, point: Sequence[float]) -> str:
    return REGIONS[regions[round(float(point[1])), round(float(point[0]))]]


def _distance_to(regions: np.ndarray, point: np.ndarray, name: str) -> float:
    rows, columns = np.nonzero(regions == REGIONS.index(name))
    return float(np.hypot(columns - point[0], rows - point[1]).min())


def _histograms(images: np.ndarray) -> np.ndarray:
    bins = (images // 32).astype(np.int64) @ np.array([64, 8, 1])
    return np.stack([np.bincount(image.ravel(), minlength=512) for image in bins])
