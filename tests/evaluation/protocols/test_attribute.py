"""A folder's numbers are the product's own: written as images and read back, they are the same to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from data.errors import UserError
from data.png import encode_png
from evaluation.attribute_report import AttributeReportConfig, evaluate_attribute_editor
from evaluation.held_out import held_out_set
from evaluation.metrics.intervals import Bootstrap
from evaluation.panel import Panel
from evaluation.pixels import apply_in_batches
from evaluation.protocols.attribute import evaluate_attribute_edits, read_attribute_edits

SaveCsv = Callable[[Path, Sequence[Mapping[str, str]]], Path]
SaveImages = Callable[[Path, str, NDArray[np.uint8]], list[str]]


def _darken(images: torch.Tensor) -> torch.Tensor:
    return images - 0.1


def test_folder_gives_the_assets_own_numbers(
    aligned_dir: Path, panel: Panel, tmp_path: Path, save_csv: SaveCsv, save_images: SaveImages
) -> None:
    held_out = held_out_set(aligned_dir, "beard", limit=24)
    boot = Bootstrap(replicates=200, seed=3)
    own = evaluate_attribute_editor(_darken, panel, held_out, AttributeReportConfig(bootstrap=boot, seed=3))
    assert held_out.counterfactuals is not None and held_out.outside is not None
    kinds = {
        "output": apply_in_batches(_darken, held_out.inputs, 64),
        "input": held_out.inputs,
        "truth": held_out.counterfactuals,
        "mask": np.repeat(np.where(held_out.outside, 0, 255).astype(np.uint8)[..., None], 3, axis=-1),
    }
    columns = {kind: save_images(tmp_path, kind, images) for kind, images in kinds.items()}
    columns["subject"] = list(held_out.subjects)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    people = zip(save_images(tmp_path, "real", held_out.reference.images), held_out.reference.subjects, strict=True)
    reference = save_csv(tmp_path / "reference.csv", [{"image": name, "subject": who} for name, who in people])
    folder = read_attribute_edits(tmp_path, save_csv(tmp_path / "pairs.csv", rows), "beard", reference)
    again = evaluate_attribute_edits(folder, panel, AttributeReportConfig(bootstrap=boot, seed=3))

    assert [row.key for row in again.rows] == [row.key for row in own.rows]
    for mine, theirs in zip(again.rows, own.rows, strict=True):
        for one, two in zip(mine.metrics, theirs.metrics, strict=True):
            assert (one.name, one.value, one.n, one.interval) == (two.name, two.value, two.n, two.interval)


def test_photographs_need_neither_truth_nor_mask_nor_reference(
    panel: Panel, tmp_path: Path, save_csv: SaveCsv, save_images: SaveImages
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    rows = [
        {"output": output, "input": source}
        for output, source in zip(
            save_images(tmp_path, "o", images[:2]), save_images(tmp_path, "i", images[2:]), strict=True
        )
    ]
    folder = read_attribute_edits(tmp_path, save_csv(tmp_path / "pairs.csv", rows), "beard")
    report = evaluate_attribute_edits(folder, panel, AttributeReportConfig(bootstrap=Bootstrap(replicates=100)))
    assert report.rows[0].metric("psnr_outside").judge == "parser_eval"
    assert report.rows[0].metric("frechet_distance").value is None


def test_unknown_attribute_names_the_nearest(tmp_path: Path, save_csv: SaveCsv) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((16, 16, 3), dtype=np.uint8)))
    with pytest.raises(UserError, match="Did you mean 'beard'"):
        read_attribute_edits(tmp_path, save_csv(tmp_path / "p.csv", [{"output": "a.png", "input": "a.png"}]), "beart")
