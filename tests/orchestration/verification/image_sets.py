"""Small image sets with real pictures, manifests and roots, published by hand."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from data.image_set import ImageSetWriter
from data.manifest import ImageRow
from orchestration.graph import AssetId
from orchestration.store import ledger
from orchestration.workspace import Workspace
from tests.orchestration.published import put

IMAGES = AssetId("images")


def put_images(ws: Workspace, numbers: Iterable[int]) -> str:
    """Publish a version of `images` with a picture for each number, and let dvc.lock name it; its data version."""

    def write(folder: Path) -> None:
        with ImageSetWriter(folder, "images") as writer:
            for number in numbers:
                row = ImageRow(
                    source=f"photos/{number}.png", subject=f"person:{number}", licence="CC0-1.0", consent="granted",
                    category="face", attributes=(), width=4, height=4, split="train", source_sha256=f"{number:064x}",
                )  # fmt: skip
                writer.add(_png(number), row)
            writer.finish({"sources": {}})

    version = put(ws, IMAGES, {}, write)
    last = ledger.last_entry(ws.root, "images")
    assert last is not None
    out = {"path": "artifacts/images", "md5": last.materialization.dvc_md5}
    (ws.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"images": {"outs": [out]}}}))
    return version


def _png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(stream, "PNG")
    return stream.getvalue()
