"""The parts of an image set: what was made from one stands for as long as its root does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.aligned import AlignmentConfig, align_images
from data.attribute_set import AttributeSetConfig, attribute_images
from data.consent import WITHDRAWN_LATER, Withheld
from data.image_set import read_dataset
from data.manifest import SplitFractions, part_roots, read_manifest
from data.quarantine import read_quarantine
from data.rendered import RenderedConfig, render_images
from data.shards import iter_payloads

CONFIG = RenderedConfig(count=48, images_per_subject=2, size_px=64, seed=3)
SPLIT = SplitFractions(test=0.3, validation=0.1)
SETS = ("images", "aligned_images", "attribute_images")


def _make(root: Path, withheld: Withheld = Withheld()) -> dict[str, Path]:  # noqa: B008 – frozen
    """The three image sets, without what is withheld."""
    made = {name: root / name for name in SETS}
    render_images(CONFIG, made["images"], SPLIT, withheld=withheld)
    align_images(made["images"], made["aligned_images"], AlignmentConfig(min_inter_ocular_px=1))
    attribute_images(made["aligned_images"], made["attribute_images"], AttributeSetConfig("beard", minimum=1))
    return made


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return _make(tmp_path_factory.mktemp("sets"))


def _rows(images: Path, split: str) -> pd.DataFrame:
    manifest = read_manifest(images)
    return manifest[manifest["split"] == split]


def _changed(before: dict[str, Path], after: dict[str, Path]) -> dict[str, set[str]]:
    """Which parts have another root, by image set."""
    changed: dict[str, set[str]] = {}
    for name in SETS:
        old, new = (dict(read_dataset(made[name])["parts"]) for made in (before, after))  # type: ignore[call-overload]
        changed[name] = {part for part in old if old[part] != new[part]}
    return changed


@pytest.mark.parametrize("split", ["test", "validation"])
def test_held_out_image_that_goes_leaves_the_training_part_as_it_was(
    sets: dict[str, Path], tmp_path: Path, split: str
) -> None:
    gone = _rows(sets["images"], split).iloc[0]["sha256"]
    after = _make(tmp_path, Withheld(images=frozenset({gone})))
    assert _changed(sets, after) == {"images": {"held_out"}, "aligned_images": {"held_out"}, "attribute_images": set()}
    old, new = (_rows(made["aligned_images"], "train") for made in (sets, after))
    assert list(iter_payloads(sets["aligned_images"], old)) == list(iter_payloads(after["aligned_images"], new))
    assert not np.array_equal(old["offset"], new["offset"]), "no offset moved: the test shows nothing"
    refused = read_quarantine(after["images"])
    assert refused[["sha256", "reason", "expected"]].to_numpy().tolist() == [[gone, "withdrawn", WITHDRAWN_LATER]]


def test_training_subject_that_goes_changes_the_training_part_alone(sets: dict[str, Path], tmp_path: Path) -> None:
    bearded = read_manifest(sets["attribute_images"]).iloc[0]["subject"]
    after = _make(tmp_path, Withheld(subjects=frozenset({bearded})))
    assert _changed(sets, after) == {name: {"train"} for name in SETS}
    for name in SETS:
        assert bearded not in set(read_manifest(after[name])["subject"])
        assert not (set(read_manifest(sets[name])["sha256"]) - set(read_manifest(after[name])["sha256"])) & _tars(after)
    refused = read_quarantine(after["images"])
    assert refused["subject"].tolist() == [bearded] * CONFIG.images_per_subject


def _tars(made: dict[str, Path]) -> set[str]:
    """Hashes of the images in the shards, from the archives' own headers."""
    shards = [shard.read_bytes() for folder in made.values() for shard in (folder / "shards").iterdir()]
    return {
        name[:64].decode()
        for shard in shards
        for at in range(0, len(shard), 512)
        if (name := shard[at : at + 68])[64:] == b".png"
    }


def test_roots_can_be_computed_again_from_what_was_written(sets: dict[str, Path]) -> None:
    facts = {
        "images": {},
        "aligned_images": {"size_px": 64, "detector": "manifest", "multiple_faces": "largest"},
        "attribute_images": {"size_px": 64, "attribute": "beard"},
    }
    for name in SETS:
        dataset = read_dataset(sets[name])
        template = {"template": dataset["template"]} if name != "images" else {}
        assert part_roots(read_manifest(sets[name]), {"kind": name, **facts[name], **template}) == dataset["parts"]


def test_parts_tell_sets_with_other_facts_or_other_pictures_apart(sets: dict[str, Path]) -> None:
    frame = read_manifest(sets["aligned_images"])
    roots = part_roots(frame, {"size_px": 64})
    assert roots != part_roots(frame, {"size_px": 32})
    assert len({*part_roots(frame.iloc[:0], {}).values()}) == 2, "two empty parts share their root"
    other = frame.copy()
    first_train = other.index[other["split"] == "train"][0]
    other.at[first_train, "transform"] = np.asarray(other.at[first_train, "transform"]) + 1e-12
    changed = part_roots(other, {"size_px": 64})
    assert changed["train"] != roots["train"] and changed["held_out"] == roots["held_out"]
