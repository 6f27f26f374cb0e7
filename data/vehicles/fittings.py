"""What can be put on a car: a roof box, a spoiler."""

from __future__ import annotations

from dataclasses import dataclass

from data.render.scene import Colour
from data.vehicles.bodywork import BLACK, SIDE, UP, cabin_of
from data.vehicles.car import Car, Place
from data.vehicles.picture import Picture, hull

_BOXES: tuple[Colour, ...] = ((0.16, 0.16, 0.18), (0.92, 0.92, 0.92), (0.62, 0.64, 0.68))
_LONG_TRUNK = 0.10  # a shorter one has no room for a spoiler: it goes to the roof's rear edge


@dataclass(frozen=True)
class _Block:
    """A box with a smaller top: x of both ends, z of both ends, half width, and how far the top's edges step in."""

    rear: float
    front: float
    low: float
    high: float
    width: float
    step: float


def paint_roof_box(picture: Picture, car: Car) -> None:
    """The roof box, when the scene has it."""
    equipment, cabin = car.scene.equipment, cabin_of(car)
    if not equipment.roof_box:
        return
    length = equipment.box_length
    # Clear of a spoiler on the roof's rear edge: neither hides the other.
    rear = max((cabin.roof_front + cabin.roof_rear - length) / 2, cabin.roof_rear + 0.11)
    low = cabin.roof + 0.012
    lid, high, width = low + 0.4 * equipment.box_height, low + equipment.box_height, 0.72 * cabin.roof_width
    # A dark foot under the lid, so that a box in the colour of what is behind it is seen too.
    _paint_block(picture, car, _Block(rear, rear + length, low, lid, width, 0.0), BLACK, "roof_box")
    top = _Block(rear, rear + length, lid, high, width, 0.04)
    _paint_block(picture, car, top, _BOXES[equipment.box_colour], "roof_box")


def paint_trunk_spoiler(picture: Picture, car: Car) -> None:
    """The spoiler of a car with a trunk, when the scene has it: the cabin stands before it."""
    subject, equipment = car.scene.subject, car.scene.equipment
    if equipment.spoiler and subject.trunk > _LONG_TRUNK:
        low = subject.belt - subject.deck_drop - 0.01
        rear = -subject.half_length
        block = _Block(rear, rear + 0.11, low, low + equipment.spoiler_height, 0.94 * subject.half_width, 0.0)
        _paint_block(picture, car, block, BLACK, "spoiler")


def paint_roof_spoiler(picture: Picture, car: Car) -> None:
    """The spoiler of a car without a trunk, when the scene has it: on the roof's rear edge."""
    subject, equipment = car.scene.subject, car.scene.equipment
    if equipment.spoiler and subject.trunk <= _LONG_TRUNK:
        cabin = cabin_of(car)
        edge, low = cabin.roof_rear, cabin.roof - 0.005
        block = _Block(edge - 0.10, edge + 0.07, low, low + 0.7 * equipment.spoiler_height, cabin.roof_width, 0.0)
        _paint_block(picture, car, block, BLACK, "spoiler")


def _paint_block(picture: Picture, car: Car, block: _Block, colour: Colour, region: str) -> None:
    rear, front, width, step = block.rear, block.front, block.width, block.step
    foot = [(x, y, block.low) for x in (rear, front) for y in (-width, width)]
    top: list[Place] = [
        (x, y, block.high) for x in (rear + step, front - 2 * step) for y in (step - width, width - step)
    ]
    outline = hull(car.outline([*foot, *top]))
    picture.polygon(outline, car.lit(colour, SIDE), region)
    picture.polygon(car.outline((top[0], top[1], top[3], top[2])), car.lit(colour, UP), region, within=outline)
    nose = car.lit(colour, (block.high - block.low, 0.0, 2 * step))
    picture.polygon(car.outline((foot[2], foot[3], top[3], top[2])), nose, region, within=outline)
