"""What is in one picture: a person, and everything that changes from picture to picture."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from data.errors import UserError
from data.render.seeds import Stream
from data.render.subject import Mole, Subject, draw_subject

Colour = tuple[float, float, float]

HAIR_STYLES = ("slicked_back", "short", "bob", "long", "fringe", "curly")
HAIR_STYLE_WEIGHTS = (
    ("slicked_back", 0.18),
    ("short", 0.25),
    ("bob", 0.14),
    ("long", 0.17),
    ("fringe", 0.14),
    ("curly", 0.12),
)
NATURAL_COLOUR_WEIGHTS = (("dark", 0.42), ("brown", 0.22), ("red", 0.14), ("blond", 0.22))
OCCLUDERS = ("none", "mask", "hand")


@dataclass(frozen=True)
class Pose:
    """Angles in degrees (yaw: to the image's right, pitch: up, roll: clockwise), placement in half pictures."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    shift_x: float
    shift_y: float
    zoom: float


@dataclass(frozen=True)
class Expression:
    """Amounts in [0, 1], and where the eyes look (units of the iris radius)."""

    smile: float
    mouth_open: float
    eyes_open: float
    gaze_x: float
    gaze_y: float


@dataclass(frozen=True)
class Light:
    """Direction towards the light (unit vector: right, down, towards the viewer), strengths and warmth in [-1, 1]."""

    direction: tuple[float, float, float]
    ambient: float
    key: float
    warmth: float
    exposure: float


@dataclass(frozen=True)
class Hair:
    """Style and colour name; the other fields vary the style. `part` in [-1, 1], `volume` in [0, 1]."""

    style: str
    colour: str
    shade: float
    tint: float
    part: float
    volume: float
    phase: float
    long_back: bool
    strands: bool


@dataclass(frozen=True)
class Beard:
    """Fullness in [0.35, 1]: how far it reaches below the chin and up the cheeks."""

    present: bool
    fullness: float
    moustache: bool


@dataclass(frozen=True)
class Glasses:
    """Frame: half width and roundness of a lens, thickness, and an index into the frame colours."""

    present: bool
    width: float
    roundness: float
    thickness: float
    colour: int


@dataclass(frozen=True)
class Occluder:
    """What is in front of the face: `none`, a `mask`, or a `hand`."""

    kind: str
    side: float
    colour: int


@dataclass(frozen=True)
class Backdrop:
    """Two background colours, the gradient's slant, soft discs (x, y, radius, strength) and the clothes."""

    upper: Colour
    lower: Colour
    slant: float
    discs: tuple[tuple[float, float, float, float], ...]
    cloth: Colour
    collar: str


@dataclass(frozen=True)
class Scene:
    """Everything of one picture. `age` is 0 (smooth skin) to 1 (deep wrinkles)."""

    seed: int
    subject: Subject
    pose: Pose
    expression: Expression
    age: float
    light: Light
    hair: Hair
    beard: Beard
    glasses: Glasses
    occluder: Occluder
    backdrop: Backdrop

    def to_json(self) -> str:
        """The scene as one line of JSON; `from_json` gives an equal scene back."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Scene:
        """The scene of `to_json`. Raises UserError when the text is no scene."""
        try:
            return _scene(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"not a scene of the renderer: {error}", "give the text that Scene.to_json wrote"
            ) from error


def draw_scene(seed: int, subject: Subject | None = None) -> Scene:
    """The scene of a seed: of the given subject, or of the subject whose seed is the scene's."""
    return Scene(
        seed=seed,
        subject=draw_subject(seed) if subject is None else subject,
        pose=_draw_pose(Stream(seed, "scene/pose")),
        expression=_draw_expression(Stream(seed, "scene/expression"), seed),
        age=draw_age(seed, Stream(seed, "scene/age").chance(0.18)),
        light=_draw_light(Stream(seed, "scene/light")),
        hair=_draw_hair(Stream(seed, "scene/hair"), seed),
        beard=_draw_beard(Stream(seed, "scene/beard")),
        glasses=_draw_glasses(Stream(seed, "scene/glasses")),
        occluder=_draw_occluder(Stream(seed, "scene/occluder"), seed),
        backdrop=_draw_backdrop(Stream(seed, "scene/backdrop")),
    )


def draw_smile(seed: int, on: bool) -> float:
    """How much a scene smiles when it does, and when it does not: nothing in between, so that the label is clear."""
    return Stream(seed, "value/smile").uniform(0.7, 1.0) if on else Stream(seed, "value/no_smile").uniform(0.0, 0.08)


def draw_mouth_open(seed: int, on: bool) -> float:
    """How far the mouth is open."""
    return Stream(seed, "value/mouth_open").uniform(0.6, 1.0) if on else 0.0


def draw_eyes_open(seed: int, on: bool) -> float:
    """How far the eyes are open."""
    return Stream(seed, "value/eyes_open").uniform(0.82, 1.0) if on else 0.0


def draw_age(seed: int, old: bool) -> float:
    """Age: young faces reach 0.3, old faces start at 0.75."""
    return Stream(seed, "value/old").uniform(0.75, 1.0) if old else Stream(seed, "value/young").uniform(0.0, 0.3)


def draw_natural_colour(seed: int) -> str:
    """The hair colour that a scene has unless it is grey."""
    return Stream(seed, "value/hair_colour").weighted(NATURAL_COLOUR_WEIGHTS)


def draw_occluder_kind(seed: int) -> str:
    """What covers the face when something does."""
    return Stream(seed, "value/occluder").choice(OCCLUDERS[1:])


def _draw_pose(draw: Stream) -> Pose:
    # A sum of two uniforms: frontal views are the most frequent ones, as in portraits.
    return Pose(
        yaw_deg=draw.signed(12.5) + draw.signed(12.5),
        pitch_deg=draw.signed(6.0) + draw.signed(6.0),
        roll_deg=draw.signed(4.0) + draw.signed(4.0),
        shift_x=draw.signed(0.035),
        shift_y=draw.signed(0.035),
        zoom=draw.uniform(0.91, 1.02),
    )


def _draw_expression(draw: Stream, seed: int) -> Expression:
    smile, mouth_open, closed = draw.chance(0.40), draw.chance(0.24), draw.chance(0.08)
    return Expression(
        smile=draw_smile(seed, smile),
        mouth_open=draw_mouth_open(seed, mouth_open),
        eyes_open=draw_eyes_open(seed, not closed),
        gaze_x=draw.signed(0.45),
        gaze_y=draw.signed(0.18),
    )


def _draw_light(draw: Stream) -> Light:
    x, y = draw.signed(0.85), -draw.uniform(0.05, 0.75)
    norm = math.sqrt(x * x + y * y + 0.64)
    key = draw.uniform(0.42, 0.78)
    return Light(
        direction=(x / norm, y / norm, 0.8 / norm),
        ambient=1.06 - key + draw.signed(0.05),
        key=key,
        warmth=draw.signed(1.0),
        exposure=draw.uniform(0.78, 1.1),
    )


def _draw_hair(draw: Stream, seed: int) -> Hair:
    old = Stream(seed, "scene/age").chance(0.18)
    grey = draw.chance(0.55 if old else 0.06)
    return Hair(
        style=draw.weighted(HAIR_STYLE_WEIGHTS),
        colour="grey" if grey else draw_natural_colour(seed),
        shade=draw.unit(),
        tint=draw.signed(1.0),
        part=draw.choice((-1.0, 1.0)) * draw.uniform(0.2, 1.0),
        volume=draw.unit(),
        phase=draw.unit(),
        long_back=draw.chance(0.5),
        strands=draw.chance(0.15),
    )


def _draw_beard(draw: Stream) -> Beard:
    return Beard(present=draw.chance(0.25), fullness=draw.uniform(0.35, 1.0), moustache=draw.chance(0.8))


def _draw_glasses(draw: Stream) -> Glasses:
    return Glasses(
        present=draw.chance(0.12),
        width=draw.uniform(0.19, 0.225),
        roundness=draw.unit(),
        thickness=draw.uniform(0.022, 0.034),
        colour=int(draw.uniform(0, 4)),
    )


def _draw_occluder(draw: Stream, seed: int) -> Occluder:
    present = draw.chance(0.04)
    return Occluder(
        kind=draw_occluder_kind(seed) if present else "none",
        side=draw.choice((-1.0, 1.0)),
        colour=int(draw.uniform(0, 3)),
    )


def _draw_backdrop(draw: Stream) -> Backdrop:
    hue, saturation, value = draw.unit(), draw.uniform(0.08, 0.58), draw.uniform(0.35, 0.98)
    discs = tuple(
        (draw.signed(1.0), draw.uniform(-1.0, 0.5), draw.uniform(0.2, 0.55), draw.uniform(0.05, 0.2)) for _ in range(3)
    )
    return Backdrop(
        upper=_hsv(hue, saturation, value),
        lower=_hsv(hue + draw.signed(0.12), saturation * draw.uniform(0.7, 1.2), value * draw.uniform(0.55, 0.9)),
        slant=draw.signed(0.7),
        discs=discs,
        cloth=_hsv(draw.unit(), draw.uniform(0.05, 0.7), draw.uniform(0.18, 0.92)),
        collar=draw.choice(("crew", "v", "shirt")),
    )


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    def channel(offset: float) -> float:
        place = (offset + hue * 6.0) % 6.0
        return value * (1.0 - saturation * max(0.0, min(1.0, place, 4.0 - place)))

    return channel(5.0), channel(3.0), channel(1.0)


def _scene(row: dict[str, Any]) -> Scene:
    subject = dict(row["subject"])
    subject["moles"] = tuple(Mole(**mole) for mole in subject["moles"])
    light = dict(row["light"])
    light["direction"] = tuple(light["direction"])
    backdrop: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row["backdrop"].items()
    }
    backdrop["discs"] = tuple(tuple(disc) for disc in backdrop["discs"])
    return Scene(
        seed=row["seed"],
        subject=Subject(**subject),
        pose=Pose(**row["pose"]),
        expression=Expression(**row["expression"]),
        age=row["age"],
        light=Light(**light),
        hair=Hair(**row["hair"]),
        beard=Beard(**row["beard"]),
        glasses=Glasses(**row["glasses"]),
        occluder=Occluder(**row["occluder"]),
        backdrop=Backdrop(**backdrop),
    )
