"""What the pictures show: faces or vehicles. A category is a renderer with its labels, and a reference part."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from data import render as faces
from data import vehicles
from data.alignment import Template
from data.attribute_names import parts_of
from data.errors import UserError
from data.reference_part import ReferencePart, reference_part

SubjectT = TypeVar("SubjectT")
SceneT = TypeVar("SceneT")
PROBED_SCENES = 4
"""Scenes on which a combination is tried: whether two attributes exclude each other does not depend on the subject."""


class Drawn(Protocol):
    """Rendered scenes: images uint8 N×H×W×3, class indices uint8 N×H×W, landmarks N×P×2 (pixels), pose N×3 (degrees).

    The first two landmarks are the reference points.
    """

    @property
    def images(self) -> NDArray[np.uint8]: ...
    @property
    def regions(self) -> NDArray[np.uint8]: ...
    @property
    def landmarks(self) -> NDArray[np.float32]: ...
    @property
    def pose_deg(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class SeedRanges:
    """Whose subjects are whose: seeds that never meet, between the roles and between categories."""

    shipped_weights: range
    judges_train: range
    judges_eval: range
    held_out_judges: range
    user: range


@dataclass(frozen=True)
class Category(Generic[SubjectT, SceneT]):
    """A kind of picture: what is known of it, and the functions that draw it.

    `shows` is the manifest's word for it. `attributes_of` gives every attribute of a scene, `traits` the numbers that
    make a subject who it is.
    """

    name: str
    shows: str
    attributes: tuple[str, ...]
    regions: tuple[str, ...]
    seeds: SeedRanges
    draw_subject: Callable[[int], SubjectT]
    draw_scene: Callable[[int, SubjectT], SceneT]
    render: Callable[[Sequence[SceneT], int], Drawn]
    attributes_of: Callable[[SceneT], dict[str, bool]]
    with_attribute: Callable[[SceneT, str, bool], SceneT]
    region_of: Callable[[str], tuple[str, ...]]
    scene_to_json: Callable[[SceneT], str]
    scene_from_json: Callable[[str], SceneT]
    traits: Callable[[SubjectT], Sequence[float]]

    @property
    def reference(self) -> ReferencePart:
        """The part that alignment moves."""
        return reference_part(self.name)

    @property
    def template(self) -> Template:
        """Where the reference points go by default; the judges always see their images so."""
        return Template(*self.reference.places, names=self.reference.points)


def _face_traits(subject: faces.Subject) -> list[float]:
    return [value for value in asdict(subject).values() if isinstance(value, float)]


FACE = Category(
    name="face",
    shows="human",
    attributes=faces.ATTRIBUTES,
    regions=faces.REGIONS,
    seeds=SeedRanges(faces.SHIPPED_WEIGHTS, faces.JUDGES_TRAIN, faces.JUDGES_EVAL, faces.HELD_OUT_JUDGES, faces.USER),
    draw_subject=faces.draw_subject,
    draw_scene=faces.draw_scene,
    render=faces.render,
    attributes_of=faces.attributes,
    with_attribute=faces.with_attribute,
    region_of=faces.region_of,
    scene_to_json=faces.Scene.to_json,
    scene_from_json=faces.Scene.from_json,
    traits=_face_traits,
)
VEHICLE = Category(
    name="vehicle",
    shows="vehicle",
    attributes=vehicles.ATTRIBUTES,
    regions=vehicles.REGIONS,
    seeds=SeedRanges(
        vehicles.SHIPPED_WEIGHTS,
        vehicles.JUDGES_TRAIN,
        vehicles.JUDGES_EVAL,
        vehicles.HELD_OUT_JUDGES,
        vehicles.USER,
    ),
    draw_subject=vehicles.draw_subject,
    draw_scene=vehicles.draw_scene,
    render=vehicles.render,
    attributes_of=vehicles.attributes,
    with_attribute=vehicles.with_attribute,
    region_of=vehicles.region_of,
    scene_to_json=vehicles.VehicleScene.to_json,
    scene_from_json=vehicles.VehicleScene.from_json,
    traits=vehicles.traits,
)
CATEGORIES: Mapping[str, Category[Any, Any]] = {one.name: one for one in (FACE, VEHICLE)}


def category(name: str) -> Category[Any, Any]:
    """The category of this name; UserError names the nearest one when there is none."""
    return CATEGORIES[reference_part(name).category]


def known_parts(attribute: str, of: str = FACE.name) -> tuple[str, ...]:
    """The parts of an attribute; UserError that names the nearest known one for a part that the category has not."""
    known = category(of).attributes
    parts = parts_of(attribute)
    for part in parts:
        if part not in known:
            near = difflib.get_close_matches(part, known, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise UserError(
                f"Attribute {part!r} has no region and no judge.", f"{hint}The judges know: {', '.join(known)}."
            )
    return parts


def regions_of(attribute: str, of: str = FACE.name) -> tuple[str, ...]:
    """The regions that an attribute changes: the union over its parts, each once. Raises UserError like known_parts."""
    region_of = category(of).region_of
    return tuple(dict.fromkeys(region for part in known_parts(attribute, of) for region in region_of(part)))


def with_attributes(scene: SceneT, attribute: str, of: str = FACE.name) -> SceneT:
    """The counterfactual scene that has every part of the attribute; all else is as it was."""
    kind: Category[Any, SceneT] = category(of)
    for part in known_parts(attribute, of):
        scene = kind.with_attribute(scene, part, True)
    return scene


def check_combination(attribute: str, of: str = FACE.name) -> None:
    """Raise UserError where one part of an attribute takes another away, as the second of two hair styles does."""
    kind, parts = category(of), known_parts(attribute, of)
    for seed in range(PROBED_SCENES):
        scene = kind.draw_scene(seed, kind.draw_subject(seed))
        has = kind.attributes_of(with_attributes(scene, attribute, of))
        lost = [part for part in parts if not has[part]]
        if lost:
            raise UserError(
                f"No {of} can have {attribute!r}: its other parts take {', '.join(map(repr, lost))} away.",
                "Combine attributes of different types, such as a beard and one hair style.",
            )
