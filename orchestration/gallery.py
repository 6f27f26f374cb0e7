"""The pictures of the documentation, from what a workspace's runs drew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from data.png import decode_png, encode_png
from orchestration.graph import AssetId
from orchestration.workspace import Workspace

GALLERY, STRIP = "edits.png", "strip.png"
PAPER, COLUMNS = 250, 2


def write_gallery(ws: Workspace, docs: Path) -> list[Path]:
    """Write the documentation's pictures into `docs` and return those that there was something for.

    edits.png: the strips of every attribute report, two beside each other. The others are the last attribute's:
    fusion.png shows how its pairs come about, methods.png and pareto.png mask fusion beside other ways to edit.
    """
    docs.mkdir(parents=True, exist_ok=True)
    attribute = list(ws.params().attributes)[-1]
    pairs, report = AssetId("edit_pairs", attribute), AssetId("fusion_report", attribute)
    sources = {
        "fusion.png": ws.root / pairs.evidence_path / "pairs.png",
        "methods.png": ws.root / report.path / "sheet.png",
        "pareto.png": ws.root / report.path / "pareto.png",
    }
    made = _strips(ws, docs)
    for name, source in sources.items():
        if source.exists():
            shutil.copyfile(source, docs / name)
            made.append(docs / name)
    return made


def _strips(ws: Workspace, docs: Path) -> list[Path]:
    folders = (ws.payload("attribute_report", attribute) for attribute in ws.params().attributes)
    strips = [decode_png((folder / STRIP).read_bytes()) for folder in folders if (folder / STRIP).exists()]
    if not strips:
        return []
    height, width = (max(strip.shape[axis] for strip in strips) for axis in (0, 1))
    cells = [np.full((height, width, 3), PAPER, np.uint8) for _ in range(-(-len(strips) // COLUMNS) * COLUMNS)]
    for cell, strip in zip(cells, strips, strict=False):
        cell[: strip.shape[0], : strip.shape[1]] = strip
    rows = [np.concatenate(cells[first : first + COLUMNS], axis=1) for first in range(0, len(cells), COLUMNS)]
    (docs / GALLERY).write_bytes(encode_png(np.concatenate(rows)))
    return [docs / GALLERY]
