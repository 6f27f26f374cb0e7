"""Pose changes: the short way round, and the angle of the turn as SciPy has it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data.errors import UserError
from evaluation.metrics.intervals import Bootstrap
from evaluation.metrics.metric import Judge
from evaluation.metrics.pose import geodesic_deg, pose_difference_deg, pose_error_deg, pose_measures, rotation_matrices

JUDGE = Judge("pose", "00")


def test_pose_difference_goes_the_short_way_round() -> None:
    assert np.allclose(pose_difference_deg([[179.0, 0, 0]], [[-179.0, 0, 0]]), [[2.0, 0, 0]])
    assert pose_error_deg([[0.0, 0, 0]], [[3.0, 4.0, 0]])[0] == pytest.approx(5.0)
    assert geodesic_deg([[179.0, 0, 0]], [[-179.0, 0, 0]])[0] == pytest.approx(2.0, abs=1e-12)


def test_rotations_and_angles_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-180, 180, (2, 500, 3))
    b[:100] = a[:100] + rng.uniform(-1e-6, 1e-6, (100, 3))  # nearly no turn
    b[100:200] = a[100:200] + np.array([180.0, 0, 0])  # half a turn
    # "yxz", small letters: yaw about y, then pitch about x, then roll about z, about axes that stay.
    one, two = (Rotation.from_euler("yxz", angles, degrees=True) for angles in (a, b))
    assert np.abs(rotation_matrices(a) - one.as_matrix()).max() < 1e-12
    expected = np.rad2deg((two * one.inv()).magnitude())
    assert np.abs(geodesic_deg(a, b) - expected).max() < 1e-9


def test_turn_of_a_tilted_head_is_not_the_norm_of_its_angles() -> None:
    assert geodesic_deg([[0.0, 0, 90]], [[30.0, 0, 90]])[0] == pytest.approx(30.0)  # roll is last: yaw stays a yaw
    error, turned = pose_error_deg([[0.0, 60, 0]], [[30.0, 60, 20]])[0], geodesic_deg([[0.0, 60, 0]], [[30.0, 60, 20]])
    assert abs(error - turned[0]) > 1.0


def test_measures_name_each_axis_and_leave_out_images_without_a_face() -> None:
    before, after = np.zeros((2, 3)), np.array([[-3.0, 4.0, 0.0], [np.nan] * 3])
    found = {m.name: m.metric(["a", "b"], Bootstrap(replicates=50)) for m in pose_measures(before, after, JUDGE)}
    expected = {"pose_change": 5.0, "pose_change_yaw": 3.0, "pose_change_pitch": 4.0, "pose_change_roll": 0.0}
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert found["pose_change_geodesic"].value == pytest.approx(5.0, abs=0.01)  # small angles: nearly the norm
    assert all(metric.n == 1 and "no face" in metric.note for metric in found.values())


def test_one_unknown_angle_is_an_error_not_an_image_without_a_face() -> None:
    with pytest.raises(UserError, match="row 0"):
        pose_measures([[0.0, np.nan, 0.0]], [[0.0, 0.0, 0.0]], JUDGE)
