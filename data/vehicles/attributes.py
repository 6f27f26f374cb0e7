"""Yes-or-no attributes of a vehicle scene, and the counterfactual: the same scene with one of them changed."""

from __future__ import annotations

from dataclasses import replace

from data.errors import UserError
from data.vehicles.scene import VehicleScene

_REGIONS: dict[str, tuple[str, ...]] = {
    "roof_box": ("roof_box",),
    "spoiler": ("spoiler",),
    "stripe": ("stripe",),
    "lights_on": ("lights",),
    "tinted_windows": ("windows",),
}
ATTRIBUTES: tuple[str, ...] = tuple(_REGIONS)
_WORDS = (
    ("roof_box", "a roof box"),
    ("spoiler", "a spoiler"),
    ("stripe", "a stripe along its side"),
    ("lights_on", "its lights on"),
    ("tinted_windows", "tinted windows"),
)


def attributes(scene: VehicleScene) -> dict[str, bool]:
    """Every attribute of a scene, in the order of ATTRIBUTES."""
    return {name: bool(getattr(scene.equipment, name)) for name in ATTRIBUTES}


def with_attribute(scene: VehicleScene, attribute: str, value: bool) -> VehicleScene:
    """The counterfactual: the same car, pose, light and surroundings, with one attribute set.

    A scene that has the value already comes back unchanged. Raises UserError for an unknown attribute.
    """
    _check(attribute)
    if getattr(scene.equipment, attribute) == value:
        return scene
    changes: dict[str, bool] = {attribute: value}
    return replace(scene, equipment=replace(scene.equipment, **changes))


def region_of(attribute: str) -> tuple[str, ...]:
    """The regions that an attribute changes. Raises UserError for an unknown attribute."""
    _check(attribute)
    return _REGIONS[attribute]


def caption(scene: VehicleScene) -> str:
    """A sentence that describes a scene: "a sedan with a roof box and its lights on"."""
    has = attributes(scene)
    kind = scene.subject.kind.replace("_", "-")
    things = [words for name, words in _WORDS if has[name]]
    car = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    if not things:
        return car
    return f"{car} with " + ", ".join(things[:-1]) + (" and " if len(things) > 1 else "") + things[-1]


def _check(attribute: str) -> None:
    if attribute not in _REGIONS:
        raise UserError(f"unknown attribute {attribute!r}", f"choose one of: {', '.join(ATTRIBUTES)}")
