"""An edit that follows its sentence stands above one that did nothing, and a sentence that is missing is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data.errors import UserError
from evaluation.panel import Panel
from evaluation.protocols.text import evaluate_text_edits, read_text_edits

SaveCsv = Callable[[Path, Sequence[Mapping[str, str]]], Path]
SaveImages = Callable[[Path, str, NDArray[np.uint8]], list[str]]
COLOURS = {"a face": (0.0, 0.0, 0.0), "a red face": (1.0, 0.0, 0.0), "a blue face": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class ColourClip:
    """A joint space in closed form: an image is its mean colour beside a constant, a sentence the colour it names."""

    name: str = "colour_clip"
    digest: str = "c1"

    def image_vectors(self, images: Tensor) -> Tensor:
        return F.normalize(F.pad(images.mean(dim=(2, 3)), (0, 1), value=1.0), dim=1)

    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(torch.tensor([(*COLOURS[text], 1.0) for text in texts]), dim=1)


@pytest.fixture
def folder(tmp_path: Path, save_csv: SaveCsv, save_images: SaveImages) -> Path:
    """Six grey noise pictures; the results are redder."""
    images = np.random.default_rng(0).integers(60, 120, (6, 32, 32, 3), dtype=np.uint8)
    redder = images.copy()
    redder[..., 0] += 100
    names = zip(save_images(tmp_path, "out", redder), save_images(tmp_path, "in", images), strict=True)
    prompts = ["a red face"] * 3 + ["a blue face"] * 3
    rows = [{"output": o, "input": i, "prompt": p} for (o, i), p in zip(names, prompts, strict=True)]
    save_csv(tmp_path / "pairs.csv", rows)
    return tmp_path


def test_only_the_edit_that_follows_its_sentence_moves_towards_it(folder: Path, panel: Panel) -> None:
    edits = read_text_edits(folder, folder / "pairs.csv")
    report = evaluate_text_edits(edits, replace(panel, clip=ColourClip()))
    towards = report.rows[0].measure("clip_direction").values
    assert (towards[:3] > 0.5).all() and (towards[3:] < 0.2).all()
    assert report.row("did_nothing").metric("clip_direction").value == 0.0
    assert report.worst[0] in (3, 4, 5)
    assert report.rows[0].metric("clip_direction").judge == "colour_clip"


def test_missing_sentence_names_its_row(folder: Path) -> None:
    text = (folder / "pairs.csv").read_text().splitlines()
    text[4] = text[4].replace("a blue face", "")
    (folder / "pairs.csv").write_text("\n".join(text))
    with pytest.raises(UserError, match=r"pairs\.csv, row 5: there is no prompt") as caught:
        read_text_edits(folder, folder / "pairs.csv")
    assert "--prompt" in caught.value.hint
    edits = read_text_edits(folder, folder / "pairs.csv", "a red face")
    assert edits.prompts[3] == "a red face" and edits.source_texts[0] == "a face"


def test_judges_without_clip_are_refused(folder: Path, panel: Panel) -> None:
    with pytest.raises(UserError, match="no CLIP"):
        evaluate_text_edits(read_text_edits(folder, folder / "pairs.csv"), replace(panel, clip=None))
