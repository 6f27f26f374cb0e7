"""What shows outside a mask and along its edge: structure, layers of a judge, and seams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from data.errors import UserError
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.locality import locality_measures, ssim_outside
from evaluation.metrics.metric import RENDERER
from evaluation.metrics.perceptual import (
    layer_activations,
    perceptual_distances,
    perceptual_of_images,
    sees_layers,
)
from evaluation.metrics.seam import seam_measure
from evaluation.panel import Panel
from evaluation.pixels import to_tensor
from training.judges.interface import FeaturesJudge

BOOT = Bootstrap(replicates=50)


def _photos(count: int, seed: int = 0) -> np.ndarray:
    """Smooth noise, N×48×48×3: neighbouring pixels differ by a few levels, as in a photograph."""
    noise = np.random.default_rng(seed).standard_normal((count, 48, 48, 3)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in noise])
    return np.clip(128 + 500 * smooth, 0, 255).astype(np.uint8)


def _box(count: int) -> np.ndarray:
    region = np.zeros((count, 48, 48), dtype=bool)
    region[:, 16:32, 16:32] = True
    return region


def test_allowed_change_leaves_structure_and_layers_outside_alone(panel: Panel) -> None:
    before, region = _photos(3), _box(3)
    after = np.where(region[..., None], 255 - before, before)
    assert ssim_outside(before, after, ~region).tolist() == [1.0] * 3
    assert isinstance(panel.features, FeaturesJudge)
    assert perceptual_of_images(panel.features, before, after, ~region).values.tolist() == [0.0] * 3


def test_structure_outside_is_the_mean_of_scikit_images_map() -> None:
    before, after = _photos(2), _photos(2, seed=1)
    everywhere = np.ones((2, 48, 48), dtype=bool)
    expected = []
    for one, two in zip(before, after, strict=True):
        _, full = structural_similarity(  # type: ignore[no-untyped-call]
            one, two, channel_axis=2, gaussian_weights=True, use_sample_covariance=False, full=True, data_range=255
        )
        expected.append(full.mean())
    assert np.allclose(ssim_outside(before, after, everywhere), expected, rtol=1e-12)


def test_blur_outside_costs_structure_where_psnr_hardly_sees_it() -> None:
    before, region = _photos(2), _box(2)
    noise = np.random.default_rng(0).integers(-12, 13, before.shape)
    after = np.clip(before.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    found = {m.name: m.values for m in locality_measures(before, after, ~region, RENDERER)}
    assert (found["psnr_outside"] > 28).all() and (found["ssim_outside"] < 0.95).all()
    assert (found["max_change_outside"] == 12).all()


def test_picture_below_the_window_says_so() -> None:
    small = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    measures = {m.name: m for m in locality_measures(small, small, np.ones((1, 8, 8), dtype=bool), RENDERER)}
    metric = measures["ssim_outside"].metric(["a"], BOOT)
    assert metric.value is None and "SSIM's window" in metric.note
    assert measures["psnr_outside"].metric(["a"], BOOT).value == 60.0


def test_pasted_patch_shows_a_seam_and_an_untouched_picture_none() -> None:
    before, region = _photos(8), _box(8)
    lighter = np.clip(before.astype(np.int16) + 40, 0, 255).astype(np.uint8)
    pasted = np.where(region[..., None], lighter, before)
    untouched, planted, everywhere = (
        seam_measure(before, after, region, RENDERER).metric([f"{i}" for i in range(8)], BOOT)
        for after in (before, pasted, np.clip(before.astype(np.int16) + 5, 0, 255).astype(np.uint8))
    )
    assert untouched.value == 1.0
    assert planted.value is not None and planted.value > 3.0  # a step of 40 levels where neighbours differ by about 8
    assert everywhere.value == pytest.approx(1.0, abs=0.02)  # a brighter picture has no seam; some pixels clip


def test_seam_is_a_ratio_of_means_worked_out_by_hand() -> None:
    before = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    region = np.zeros((1, 4, 4), dtype=bool)
    region[:, :, 2:] = True
    before[:, :, 2:] = 3
    after = before.copy()
    after[:, :, 2:] = 15
    assert seam_measure(before, after, region, RENDERER).values[0] == pytest.approx((15 + 1) / (3 + 1))


def test_region_without_an_edge_is_left_out() -> None:
    before = _photos(2)
    region = np.ones((2, 48, 48), dtype=bool)
    region[1, :24] = False
    metric = seam_measure(before, before, region, RENDERER).metric(["a", "b"], BOOT)
    assert (metric.value, metric.n) == (1.0, 1)


def test_layers_are_the_stem_and_every_block(panel: Panel) -> None:
    assert isinstance(panel.features, FeaturesJudge) and sees_layers(panel.features) and not sees_layers(object())
    layers = layer_activations(panel.features, to_tensor(_photos(2)))
    assert [tuple(layer.shape) for layer in layers] == [(2, 8, 32, 32), (2, 8, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4)]
    assert all(bool((layer >= 0).all()) for layer in layers)
    assert not panel.features.net.stem_norm._forward_hooks  # nothing stays behind on the judge


def test_stronger_change_outside_is_perceptually_farther(panel: Panel) -> None:
    assert isinstance(panel.features, FeaturesJudge)
    before, region = _photos(4), _box(4)
    flipped = before[:, ::-1]
    half = ((before.astype(np.uint16) + flipped) // 2).astype(np.uint8)
    near, far = (perceptual_of_images(panel.features, before, after, ~region, 3).values for after in (half, flipped))
    assert (near > 0).all() and (far > near).all()


def test_distance_weighs_positions_by_the_mask_in_proportion_to_its_area() -> None:
    one, two = np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 2, 2))
    one[0, 0], two[0, 0] = 3.0, 5.0  # the same direction in all four places ...
    two[0, :, 0, 0] = [0.0, 7.0]  # ... but one, where unit vectors are at a right angle: squared distance 2
    outside = np.ones((1, 4, 4))
    outside[0, :2, 0] = 0.0  # half of that place's area
    assert perceptual_distances([one], [two], outside)[0] == pytest.approx(2 * 0.5 / 3.5, rel=1e-6)  # float32 layers
    assert np.isnan(perceptual_distances([one], [two], np.zeros((1, 4, 4)))[0])
    with pytest.raises(ValueError, match="do not belong together"):
        perceptual_distances([one], [two[..., :1]], outside)
    with pytest.raises(UserError, match="NaN"):
        perceptual_distances([one * np.nan], [two], outside)
