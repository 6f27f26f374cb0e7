"""`editloom sheet`: how faces get from a code to a pair, by strength, and over training, as a picture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from evaluation.sheet import Picture, write_png
from orchestration.pair_setup import declared, made, pair_setup
from orchestration.workspace import Workspace

SheetKind = Literal["fusion", "strength", "editor", "time_lapse"]
TIME_LAPSE_FILE = "time_lapse.png"


@dataclass(frozen=True)
class SheetOptions:
    """Which sheet, of how many rows, for which seed; `out` None: a file named after attribute and kind."""

    kind: SheetKind = "fusion"
    rows: int = 8
    seed: int = 0
    out: Path | None = None


def chosen_kind(*, strength: bool, editor: bool, time_lapse: bool) -> SheetKind:
    """The kind of sheet that switches ask for; raises UserError where they ask for two."""
    asked: list[SheetKind] = []
    asked += ["strength"] if strength else []
    asked += ["editor"] if editor else []
    asked += ["time_lapse"] if time_lapse else []
    if len(asked) > 1:
        raise UserError("A sheet shows one thing.", "Give one of --strength, --editor, --time-lapse, or none.")
    return asked[0] if asked else "fusion"


def write_sheet(ws: Workspace, attribute: str, options: SheetOptions, console: Console) -> Path:
    """Write an attribute's sheet as PNG, the same bytes for the same payloads and options; returns the file.

    Raises UserError for an undeclared attribute, a payload that has not been made, or an output that is no .png.
    """
    declared(ws, attribute)
    out = options.out or Path(f"{attribute}_{options.kind}.png")
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise UserError(f"{out} cannot be written.", "Name a file that ends in .png, in a folder that exists.")
    if options.kind == "time_lapse":
        shutil.copyfile(_time_lapse(ws, attribute), out)
    else:
        draw: dict[SheetKind, Callable[[Workspace, str, SheetOptions], Picture]] = {
            "fusion": _fusion_sheet,
            "strength": _fusion_sheet,
            "editor": _editor_sheet,
        }
        write_png(out, draw[options.kind](ws, attribute, options))
    console.print(f"Wrote {escape(str(out))}.", highlight=False, soft_wrap=True)
    return out


def _fusion_sheet(ws: Workspace, attribute: str, options: SheetOptions) -> Picture:
    from evaluation.fusion.sheet import Fusing, fusion_figure, lacking_codes, strength_figure

    setup = pair_setup(ws, attribute)
    config, judges = setup.config, setup.judges
    fusing = Fusing(setup.original, setup.feature, judges.mask, config.fusion, config.truncation_psi)
    rows = lacking_codes(
        setup.original,
        judges.probability,
        options.seed,
        options.rows,
        config.max_probability,
        config.truncation_psi,
    )
    figure = fusion_figure if options.kind == "fusion" else strength_figure
    return figure(fusing, options.seed, rows, _title(attribute))


def _editor_sheet(ws: Workspace, attribute: str, options: SheetOptions) -> Picture:
    from evaluation.fusion.sheet import editor_figure
    from evaluation.held_out import held_out_set
    from training.editor.apply import edit, load_editor

    editor = load_editor(made(ws, "attribute_editor", attribute))
    aligned = made(ws, "aligned_images", attribute)
    held_out = held_out_set(aligned, attribute, options.rows, ws.params().category)
    return editor_figure(partial(edit, editor), held_out.inputs, held_out.counterfactuals, _title(attribute))


def _time_lapse(ws: Workspace, attribute: str) -> Path:
    """The picture that the feature network's training left in its evidence."""
    made(ws, "feature_network", attribute)
    path = ws.evidence("feature_network", attribute) / TIME_LAPSE_FILE
    if not path.is_file():
        raise UserError(
            f"The training of feature_network[{attribute}] left no {TIME_LAPSE_FILE} in {path.parent}.",
            f"It comes from elsewhere; train it here: `editloom materialize feature_network --partition {attribute}`.",
        )
    return path


def _title(attribute: str) -> str:
    return attribute.replace("_", " ").replace("+", " + ")
