"""The pictures of the documentation, from what a workspace's runs drew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from data.png import decode_png, encode_png
from orchestration.graph import AssetId
from orchestration.workspace import Workspace

GALLERY, STRIP = "edits.png", "strip.png"
PAPER = 250


def write_gallery(ws: Workspace, docs: Path) -> list[Path]:
    """Write the documentation's pictures into `docs` and return those that there was something for.

    edits.png: the strips of every attribute report, one above the other. The others are the last attribute's:
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
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=PAPER) for s in strips]
    (docs / GALLERY).write_bytes(encode_png(np.concatenate(padded)))
    return [docs / GALLERY]
