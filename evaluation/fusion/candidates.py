"""The fusion schedules that a search tries, and the rule by which one of them is best (METHODS A5, A6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.fusion_schedule import FusionConfig, LayerSpec, MaskLayers
from training.joint_mask import JointMode

FIRST_SIZE_PX = 8
END: MaskLayers = (None, None)


@dataclass(frozen=True)
class SearchGrid:
    """What is varied: coefficients of one-layer schedules; all other schedules use `a`."""

    coefficients: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    a: float = 0.1


@dataclass(frozen=True)
class SearchRule:
    """What is best: of the schedules with at least `success_share` of the greatest success, the largest score.

    score [dB] = PSNR outside − seam_weight_db · seam [8-bit levels] − identity_weight_db · (1 − identity cosine).
    """

    success_share: float = 0.9
    seam_weight_db: float = 3.0
    identity_weight_db: float = 20.0


@dataclass(frozen=True)
class ScheduleScore:
    """A schedule and its means over the codes; `success` is the share that reaches the pairs' least probability."""

    schedule: FusionConfig
    success: float
    probability: float
    psnr_outside_db: float
    identity_cosine: float
    seam_levels: float

    @property
    def name(self) -> str:
        """The schedule in words."""
        return schedule_name(self.schedule)


def candidates(layer_names: Sequence[str], grid: SearchGrid | None = None) -> tuple[FusionConfig, ...]:
    """Return the schedules to try on a network with these layers, each once.

    The end layer is left out: with no layer behind it nothing smooths the seam.
    """
    grid = grid or SearchGrid()
    layers = [name for name in layer_names[:-1] if _size(name) >= FIRST_SIZE_PX]
    found = [
        *(_schedule([layer], a) for layer in layers for a in grid.coefficients),
        *(_schedule([layer], grid.a, joint="intersection") for layer in layers),
        *_by_earlier_masks(layers, _size(layer_names[-1]), grid.a),
        *_of_two_layers(layers, grid.a),
    ]
    return tuple(dict.fromkeys(found))


def _by_earlier_masks(layers: Sequence[str], size_px: int, a: float) -> Iterator[FusionConfig]:
    """Masks from the running image of the fusion layer (q = k), where it has half the end image's size at least."""
    for layer in layers:
        if _rgb_size(layer) * 2 >= size_px:
            yield _schedule([layer], a, mask_layers=(None, layer))
            yield _schedule([layer], a, mask_layers=(layer, layer))


def _of_two_layers(layers: Sequence[str], a: float) -> Iterator[FusionConfig]:
    """Two fusions, one resolution apart or within one; the second also with a mask of its own layer's images."""
    for first in layers:
        for second in layers[layers.index(first) + 1 :]:
            if _size(first) * 2 >= _size(second) >= 16 and (second.endswith("/2") or first.endswith("/2")):
                yield _schedule([first, second], a)
    for first, second in zip(layers[:-2], layers[2:], strict=True):
        if second.endswith("/2") and _size(second) >= 32:
            spec = LayerSpec(layer=second, a=a, mask=(second, second))
            yield FusionConfig(layers=(LayerSpec(layer=first, a=a), spec))


def _schedule(
    layers: Sequence[str], a: float, joint: JointMode = "union", mask_layers: MaskLayers = END
) -> FusionConfig:
    specs = tuple(LayerSpec(layer=layer, a=a) for layer in layers)
    return FusionConfig(layers=specs, joint=joint, mask_layers=mask_layers)


def schedule_name(schedule: FusionConfig) -> str:
    """A schedule in words: `16/2 a 0.1 + 32/2 a 0.1, intersection, masks of end and 32/2`."""
    words = [" + ".join(layer_name(spec) for spec in schedule.layers)]
    words += [schedule.joint] if schedule.joint != "union" else []
    words += [f"masks of {_layers_name(schedule.mask_layers)}"] if schedule.mask_layers != END else []
    return ", ".join(words)


def layer_name(spec: LayerSpec) -> str:
    """One fusion in words: `32/2 a 0.1`."""
    own = "" if spec.mask == "target" else f" (mask of {_layers_name(spec.mask)})"
    return f"{spec.layer} a {spec.a:g}{own}"


def score_db(row: ScheduleScore, rule: SearchRule) -> float:
    """The rule's score of a schedule; see `SearchRule`."""
    lost = rule.seam_weight_db * row.seam_levels + rule.identity_weight_db * (1 - row.identity_cosine)
    return row.psnr_outside_db - lost


def ranked(rows: Sequence[ScheduleScore], rule: SearchRule) -> tuple[ScheduleScore, ...]:
    """Return the schedules best first: those that succeed often enough by score, then the others by success."""
    floor = success_floor(rows, rule)
    return tuple(sorted(rows, key=lambda row: (row.success < floor, *_order(row, row.success >= floor, rule))))


def success_floor(rows: Sequence[ScheduleScore], rule: SearchRule) -> float:
    """The success from which a schedule competes."""
    return rule.success_share * max(row.success for row in rows)


def larger_preset(rows: Sequence[ScheduleScore], rule: SearchRule) -> ScheduleScore:
    """The best schedule of several layers with the best one's mask settings; the best one where there is none."""
    order = ranked(rows, rule)
    best = order[0]
    same = (row for row in order if len(row.schedule.layers) > 1 and _masks(row.schedule) == _masks(best.schedule))
    return next(same, best)


def _order(row: ScheduleScore, competes: bool, rule: SearchRule) -> tuple[float, int, str]:
    """Ties go to fewer layers, then to the name: the order never depends on that of the search."""
    first = -score_db(row, rule) if competes else -row.success
    return first, len(row.schedule.layers), row.name


def _masks(schedule: FusionConfig) -> tuple[str, MaskLayers]:
    return schedule.joint, schedule.mask_layers


def _layers_name(layers: MaskLayers) -> str:
    first, second = (layer or "end" for layer in layers)
    return f"{first} and {second}"


def _size(layer: str) -> int:
    return int(layer.split("/")[0])


def _rgb_size(layer: str) -> int:
    """Side of the running image after a layer: a resolution's own once its last layer has run."""
    return _size(layer) if layer.endswith("/2") or _size(layer) == 4 else _size(layer) // 2
