"""Where the boxes and lines of a layered graph go: inputs left of what is made from them, no line through a box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

BOX_WIDTH, BOX_HEIGHT = 184, 46
COLUMN_GAP, ROW_GAP, LANE_HEIGHT, MARGIN = 64, 16, 10, 18
SWEEPS = 6

Slot = tuple[str, ...]
"""A box (its key) or a lane (key, column): where all lines from one box pass a column on their way further right."""


@dataclass(frozen=True)
class Box:
    """A box's upper left corner, in px."""

    key: str
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    """A line's SVG path from `source` to `target`, and where its label stands."""

    source: str
    target: str
    path: str
    label_x: int
    label_y: int


@dataclass(frozen=True)
class Layout:
    """A drawing of `width`×`height` px."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def layered(keys: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Layout:
    """Lay out `keys` (inputs first) and the lines (source, target) between them.

    A line over several columns passes them in lanes, which it shares with the others from the same box; the order
    within the columns follows the neighbours' (barycentre sweeps), so that few lines cross.
    """
    columns = _columns(keys, pairs)
    chains = {pair: _chain(pair, columns) for pair in pairs}
    slots = _slots(keys, columns, chains)
    _order(slots, chains)
    middle = _heights(slots)
    height = max((y for y, _ in middle.values()), default=0) + BOX_HEIGHT + MARGIN
    boxes = tuple(Box(key, _x(columns[key]), middle[(key,)][0] - BOX_HEIGHT // 2) for key in keys)
    lines = tuple(_line(pair, chain, columns, middle) for pair, chain in chains.items())
    return Layout(_x(len(slots)) - COLUMN_GAP + MARGIN, height, boxes, lines)


def _columns(keys: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Key → column: one right of the rightmost input."""
    inputs: dict[str, list[str]] = defaultdict(list)
    for source, target in pairs:
        inputs[target].append(source)
    columns: dict[str, int] = {}
    for key in keys:
        columns[key] = max((columns.get(source, -1) + 1 for source in inputs[key]), default=0)
    return columns


def _chain(pair: tuple[str, str], columns: Mapping[str, int]) -> list[Slot]:
    source, target = pair
    lanes: list[Slot] = [(source, str(place)) for place in range(columns[source] + 1, columns[target])]
    return [(source,), *lanes, (target,)]


def _slots(
    keys: Sequence[str], columns: Mapping[str, int], chains: Mapping[tuple[str, str], list[Slot]]
) -> list[list[Slot]]:
    """The slots of each column, boxes first."""
    slots: list[list[Slot]] = [[] for _ in range(max(columns.values(), default=-1) + 1)]
    for key in keys:
        slots[columns[key]].append((key,))
    for lane in dict.fromkeys(lane for chain in chains.values() for lane in chain[1:-1]):
        slots[int(lane[1])].append(lane)
    return slots


def _order(slots: list[list[Slot]], chains: Mapping[tuple[str, str], list[Slot]]) -> None:
    """Sort each column by the middle of its neighbours in the column before, then after, a few times over."""
    left: dict[Slot, list[Slot]] = defaultdict(list)
    right: dict[Slot, list[Slot]] = defaultdict(list)
    for chain in chains.values():
        for one, other in pairwise(chain):
            left[other].append(one)
            right[one].append(other)
    for sweep in range(SWEEPS):
        neighbours, order = (left, slots) if sweep % 2 == 0 else (right, slots[::-1])
        for fixed, column in pairwise(order):
            place = {slot: number / max(1, len(fixed) - 1) for number, slot in enumerate(fixed)}
            _sort(column, place, neighbours)


def _sort(column: list[Slot], place: Mapping[Slot, float], neighbours: Mapping[Slot, list[Slot]]) -> None:
    own = {slot: number / max(1, len(column) - 1) for number, slot in enumerate(column)}

    def middle(slot: Slot) -> float:
        known = [place[other] for other in neighbours.get(slot, ()) if other in place]
        return sum(known) / len(known) if known else own[slot]

    column.sort(key=middle)


def _heights(slots: Sequence[Sequence[Slot]]) -> dict[Slot, tuple[int, int]]:
    """Slot → (middle in px, height); columns are centred on one another."""
    tall = [sum(_height(slot) + ROW_GAP for slot in column) for column in slots]
    middle: dict[Slot, tuple[int, int]] = {}
    for column, height in zip(slots, tall, strict=True):
        y = MARGIN + (max(tall) - height) // 2
        for slot in column:
            middle[slot] = (y + _height(slot) // 2, _height(slot))
            y += _height(slot) + ROW_GAP
    return middle


def _line(
    pair: tuple[str, str],
    chain: Sequence[Slot],
    columns: Mapping[str, int],
    middle: Mapping[Slot, tuple[int, int]],
) -> Line:
    start = columns[pair[0]]
    at = (_x(start) + BOX_WIDTH, middle[chain[0]][0])
    path, label = [f"M{at[0]},{at[1]}"], at
    for step, slot in enumerate(chain[1:], start=1):
        to, bend = (_x(start + step), middle[slot][0]), COLUMN_GAP // 2
        label = (at[0] + bend, (at[1] + to[1]) // 2)
        path.append(f"C{at[0] + bend},{at[1]} {to[0] - bend},{to[1]} {to[0]},{to[1]}")
        at = to
        if step < len(chain) - 1:
            at = (to[0] + BOX_WIDTH, to[1])
            path.append(f"H{at[0]}")
    return Line(pair[0], pair[1], " ".join(path), *label)


def _height(slot: Slot) -> int:
    return BOX_HEIGHT if len(slot) == 1 else LANE_HEIGHT


def _x(column: int) -> int:
    return MARGIN + column * (BOX_WIDTH + COLUMN_GAP)
