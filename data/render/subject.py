"""Who is in the picture: the parameters that stay with a person."""

from __future__ import annotations

from dataclasses import dataclass

from data.render.seeds import Stream


@dataclass(frozen=True)
class Mole:
    """A mole: place on the face (across, down; in units of half the picture), radius and darkness."""

    across: float
    down: float
    radius: float
    darkness: float


@dataclass(frozen=True)
class Subject:
    """A person's identity. Lengths are in units of half the picture, measured from the point between the eyes."""

    seed: int
    face_width: float
    chin_length: float
    skull_height: float
    jaw_square: float
    jaw_taper: float
    chin_ball: float
    cheekbone: float
    eye_spacing: float
    eye_width: float
    eye_aspect: float
    eye_slant: float
    eye_iris: float
    iris_size: float
    lid_crease: float
    lash: float
    brow_height: float
    brow_thickness: float
    brow_length: float
    brow_arch: float
    brow_angle: float
    brow_darkness: float
    nose_length: float
    nose_width: float
    nose_tip: float
    nose_bridge: float
    nose_lift: float
    mouth_place: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_bow: float
    lip_red: float
    mouth_curve: float
    ear_size: float
    ear_out: float
    ear_down: float
    neck_width: float
    melanin: float
    undertone: float
    blush: float
    freckles: float
    moles: tuple[Mole, ...]


def draw_subject(subject_seed: int) -> Subject:
    """The person of a seed. The same seed is always the same person."""
    return Subject(
        seed=subject_seed,
        **_skull(Stream(subject_seed, "subject/skull")),
        **_eyes(Stream(subject_seed, "subject/eyes")),
        **_brows(Stream(subject_seed, "subject/brows")),
        **_nose(Stream(subject_seed, "subject/nose")),
        **_mouth(Stream(subject_seed, "subject/mouth")),
        **_ears(Stream(subject_seed, "subject/ears")),
        **_skin(Stream(subject_seed, "subject/skin")),
        moles=_moles(Stream(subject_seed, "subject/moles")),
    )


def _skull(draw: Stream) -> dict[str, float]:
    return {
        "face_width": draw.uniform(0.52, 0.66),
        "chin_length": draw.uniform(0.70, 0.88),
        "skull_height": draw.uniform(0.74, 0.84),
        "jaw_square": draw.uniform(0.0, 0.95),
        "jaw_taper": draw.uniform(0.04, 0.34),
        "chin_ball": draw.uniform(0.1, 0.9),
        "cheekbone": draw.uniform(0.1, 0.7),
    }


def _eyes(draw: Stream) -> dict[str, float]:
    return {
        "eye_spacing": draw.uniform(0.225, 0.30),
        "eye_width": draw.uniform(0.108, 0.158),
        "eye_aspect": draw.uniform(0.62, 1.06),
        "eye_slant": draw.uniform(-0.20, 0.26),
        "eye_iris": draw.unit(),
        "iris_size": draw.uniform(0.055, 0.074),
        "lid_crease": draw.uniform(0.0, 1.0),
        "lash": draw.uniform(0.35, 1.0),
    }


def _brows(draw: Stream) -> dict[str, float]:
    return {
        "brow_height": draw.uniform(0.145, 0.235),
        "brow_thickness": draw.uniform(0.014, 0.042),
        "brow_length": draw.uniform(0.125, 0.19),
        "brow_arch": draw.uniform(0.0, 0.065),
        "brow_angle": draw.uniform(-0.24, 0.24),
        "brow_darkness": draw.uniform(0.35, 1.0),
    }


def _nose(draw: Stream) -> dict[str, float]:
    return {
        "nose_length": draw.uniform(0.25, 0.38),
        "nose_width": draw.uniform(0.062, 0.132),
        "nose_tip": draw.uniform(0.055, 0.095),
        "nose_bridge": draw.uniform(0.035, 0.07),
        "nose_lift": draw.uniform(-0.025, 0.03),
    }


def _mouth(draw: Stream) -> dict[str, float]:
    return {
        "mouth_place": draw.uniform(0.38, 0.53),
        "mouth_width": draw.uniform(0.13, 0.225),
        "lip_upper": draw.uniform(0.02, 0.054),
        "lip_lower": draw.uniform(0.028, 0.07),
        "lip_bow": draw.uniform(0.05, 0.45),
        "lip_red": draw.unit(),
        "mouth_curve": draw.uniform(-0.012, 0.014),
    }


def _ears(draw: Stream) -> dict[str, float]:
    return {
        "ear_size": draw.uniform(0.11, 0.19),
        "ear_out": draw.uniform(-0.02, 0.06),
        "ear_down": draw.uniform(0.06, 0.17),
        "neck_width": draw.uniform(0.30, 0.42),
    }


def _skin(draw: Stream) -> dict[str, float]:
    return {
        "melanin": draw.unit(),
        "undertone": draw.signed(1.0),
        "blush": draw.unit(),
        "freckles": draw.uniform(0.5, 1.0) if draw.chance(0.22) else 0.0,
    }


def _moles(draw: Stream) -> tuple[Mole, ...]:
    count = draw.weighted(((0, 0.30), (1, 0.35), (2, 0.23), (3, 0.12)))
    return tuple(_mole(draw) for _ in range(count))


def _mole(draw: Stream) -> Mole:
    side = draw.choice((-1.0, 1.0))
    across, down = draw.choice(
        ((0.30, 0.18), (0.36, 0.32), (0.22, 0.34), (0.26, 0.50), (0.12, 0.62), (0.12, -0.26), (0.17, 0.22))
    )
    return Mole(
        side * (across + draw.signed(0.03)),
        down + draw.signed(0.03),
        draw.uniform(0.014, 0.021),
        draw.uniform(0.6, 0.9),
    )
