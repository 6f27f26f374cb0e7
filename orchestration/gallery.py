"""The picture of edits in the README: the strips of the workspace's reports, one above the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.png import decode_png, encode_png
from orchestration.workspace import Workspace

GALLERY, STRIP = "edits.png", "strip.png"
PAPER = 250


def write_gallery(ws: Workspace, docs: Path) -> Path | None:
    """Write docs/edits.png from every attribute report of `ws`, one above the other; None without a report."""
    folders = (ws.payload("attribute_report", attribute) for attribute in ws.params().attributes)
    strips = [decode_png((folder / STRIP).read_bytes()) for folder in folders if (folder / STRIP).exists()]
    if not strips:
        return None
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=PAPER) for s in strips]
    docs.mkdir(parents=True, exist_ok=True)
    (docs / GALLERY).write_bytes(encode_png(np.concatenate(padded)))
    return docs / GALLERY
