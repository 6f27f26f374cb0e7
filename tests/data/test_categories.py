"""Nothing is face-only: a vehicle is drawn, aligned by its own points, and never takes a face's seeds or names."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from data.aligned import AlignmentConfig, align_images
from data.alignment import Template, scale_of
from data.categories import CATEGORIES, FACE, VEHICLE, category, regions_of, with_attributes
from data.errors import UserError
from data.expectations import validate_manifest
from data.image_set import read_dataset
from data.manifest import SplitFractions, read_manifest
from data.reference_part import REFERENCE_PARTS, reference_part
from data.rendered import RenderedConfig, render_images

VEHICLES = RenderedConfig(
    count=24, images_per_subject=2, size_px=48, first_subject=VEHICLE.seeds.user.start, category="vehicle"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vehicles") / "images"
    render_images(VEHICLES, out, SplitFractions(test=0.3, validation=0.1))
    return out


def test_no_two_seed_ranges_meet_between_roles_or_categories() -> None:
    ranges = [(name, role, r) for name, one in CATEGORIES.items() for role, r in vars(one.seeds).items()]
    assert len(ranges) == 10
    for first, second in combinations(ranges, 2):
        assert first[2].stop <= second[2].start or second[2].stop <= first[2].start, (first, second)


def test_every_category_has_its_reference_part_and_distinct_labels() -> None:
    assert set(CATEGORIES) == set(REFERENCE_PARTS)
    assert not set(FACE.attributes) & set(VEHICLE.attributes)
    assert {one.shows for one in CATEGORIES.values()} == {"human", "vehicle"}


def test_unknown_category_names_the_nearest() -> None:
    with pytest.raises(UserError, match="vehicel") as caught:
        category("vehicel")
    assert "'vehicle'" in caught.value.hint


def test_regions_and_counterfactuals_follow_the_category() -> None:
    assert regions_of("roof_box+spoiler", "vehicle") == ("roof_box", "spoiler")
    with pytest.raises(UserError, match="'roof_box' has no region"):
        regions_of("roof_box")
    scene = VEHICLE.draw_scene(3, VEHICLE.draw_subject(3))
    has = VEHICLE.attributes_of(with_attributes(scene, "roof_box+spoiler", "vehicle"))
    assert has["roof_box"] and has["spoiler"]


def test_vehicles_align_by_their_own_points(images: Path, tmp_path: Path) -> None:
    config = AlignmentConfig(size_px=32, template=VEHICLE.template, category="vehicle")
    align_images(images, tmp_path / "aligned", config, processes=2)
    manifest = read_manifest(tmp_path / "aligned")
    assert len(manifest) == 24 and set(manifest["category"]) == {"vehicle"}
    result = validate_manifest("aligned_images", manifest, size_px=32, template=VEHICLE.template)
    assert result.success, result.failed
    assert not validate_manifest("aligned_images", manifest, size_px=32, template=Template()).success
    template = read_dataset(tmp_path / "aligned")["template"]
    assert template == {name: list(place) for name, place in zip(*_of("vehicle"), strict=True)}


def _of(name: str) -> tuple[tuple[str, str], tuple[tuple[float, float], tuple[float, float]]]:
    return reference_part(name).points, reference_part(name).places


def test_reference_image_of_the_set_gives_a_vehicle_its_template(images: Path, tmp_path: Path) -> None:
    source = read_manifest(images)["source"].iloc[5]
    config = AlignmentConfig(size_px=48, template=VEHICLE.template, reference=source, category="vehicle")
    align_images(images, tmp_path / "aligned", config)
    rows = read_manifest(tmp_path / "aligned")
    transform = np.reshape(rows[rows["source"] == source].iloc[0]["transform"], (2, 3))
    assert scale_of(transform) == pytest.approx(1.0, abs=1e-4)  # the template has six digits


def test_vehicle_whose_ends_are_too_close_is_quarantined_as_one(images: Path, tmp_path: Path) -> None:
    config = AlignmentConfig(template=VEHICLE.template, category="vehicle", min_inter_ocular_px=60)
    with pytest.raises(UserError, match="24 vehicle_too_small"):
        align_images(images, tmp_path / "aligned", config)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"left_eye": (0.3, 0.4)}, "aligned by its body"),
        ({"front": (0.95, 0.5)}, "front lies right of rear"),
        ({"front": (0.0, 0.5)}, "outside the crop"),
    ],
)
def test_template_that_is_no_vehicles_is_refused(given: dict[str, tuple[float, float]], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Template.of("vehicle", given)


def test_point_that_is_not_given_keeps_its_own_place() -> None:
    assert Template.of("face", {"left_eye": (0.3, 0.4)}).places == {"left_eye": [0.3, 0.4], "right_eye": [0.63, 0.46]}
    assert Template.of("face", {}) == Template() == FACE.template


def test_alignment_of_another_category_is_refused() -> None:
    with pytest.raises(UserError, match="aligned by its body"):
        AlignmentConfig(category="vehicle")
    with pytest.raises(UserError, match="dlib finds no vehicle's body"):
        AlignmentConfig(category="vehicle", template=VEHICLE.template, detector="dlib")


def test_subjects_of_another_category_cannot_be_asked_for() -> None:
    with pytest.raises(UserError, match="another category"):
        RenderedConfig(category="vehicle")
    with pytest.raises(UserError, match="10000000 belongs"):
        RenderedConfig(category="vehicle", first_subject=VEHICLE.seeds.user.stop - 1, count=8)
