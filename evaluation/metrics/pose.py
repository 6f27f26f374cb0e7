"""Did the head turn: differences of yaw, pitch and roll in degrees, and the angle of the turn itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.intervals import Protocol
from evaluation.metrics.measure import Measure, Remark
from evaluation.metrics.metric import Judge
from evaluation.metrics.vectors import checked_vectors, require_same_length

Floats = NDArray[np.float64]
AXES = ("yaw", "pitch", "roll")
CHANGE = Protocol("pose_change", "degrees", "mean L2 of the change in yaw, pitch and roll, output against input", False)
GEODESIC = Protocol(
    "pose_change_geodesic", "degrees",
    "mean angle of the one rotation that turns the input's head into the output's; yaw, pitch, roll in that order "
    "about the picture's y, x and z axes",
    False,
)  # fmt: skip


def pose_difference_deg(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return b − a per axis in (−180, 180]; shapes N×3, N×3 → N×3."""
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    return np.asarray(180.0 - np.mod(180.0 - difference, 360.0))


def pose_error_deg(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the L2 norm of the pose difference of each image; shapes N×3, N×3 → N."""
    return np.asarray(np.linalg.norm(pose_difference_deg(a, b), axis=1))


def rotation_matrices(angles_deg: ArrayLike) -> Floats:
    """Return the rotations of yaw, pitch, roll: N×3 degrees → N×3×3.

    The axes stay the picture's (x right, y down, z out of it): first yaw about y, then pitch about x, then roll about
    z, so R = Rz(roll)·Rx(pitch)·Ry(yaw), as the renderer turns heads.
    """
    cos, sin = (f(np.deg2rad(np.asarray(angles_deg, dtype=np.float64))).T for f in (np.cos, np.sin))
    (cy, cp, cr), (sy, sp, sr) = cos, sin
    rows = [
        [cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy],
        [sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy],
        [-cp * sy, sp, cp * cy],
    ]
    return np.moveaxis(np.array(rows), 2, 0)  # 3×3×N → N×3×3


def geodesic_deg(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the angle of the rotation between two poses, in [0, 180]; shapes N×3, N×3 → N.

    By its sine and cosine, so that tiny angles and those near 180° are as exact as others.
    """
    turn = rotation_matrices(b) @ rotation_matrices(a).transpose(0, 2, 1)
    sine = np.linalg.norm(turn - turn.transpose(0, 2, 1), axis=(1, 2)) / np.sqrt(8.0)
    cosine = (np.trace(turn, axis1=1, axis2=2) - 1.0) / 2.0
    return np.asarray(np.rad2deg(np.arctan2(sine, cosine)), dtype=np.float64)


def pose_measures(before: ArrayLike, after: ArrayLike, judge: Judge) -> tuple[Measure, ...]:
    """The L2 change of pose, the absolute change of each axis, and the geodesic angle; shapes N×3, N×3 (degrees).

    An image with a row of NaN (no face) does not count, and the note says so. Raises UserError for other NaN.
    """
    one, two = (checked_vectors(angles, "pose angles") for angles in (before, after))
    require_same_length("pose angles before and after", one.rows, two.rows)
    known = one.known & two.known
    remark = Remark(~known, "no face before or after, not counted")
    per_axis = np.abs(pose_difference_deg(one.rows, two.rows))
    columns = (
        (CHANGE, pose_error_deg(one.rows, two.rows)),
        *((_of_axis(axis), per_axis[:, i]) for i, axis in enumerate(AXES)),
        (GEODESIC, geodesic_deg(one.rows, two.rows)),
    )
    return tuple(
        Measure.of_values(protocol, judge, np.where(known, values, np.nan), remark) for protocol, values in columns
    )


def _of_axis(axis: str) -> Protocol:
    return Protocol(f"pose_change_{axis}", "degrees", f"mean absolute change of {axis}, output against input", False)
