"""Manifests, splits and dataset roots."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from data.errors import UserError
from data.manifest import (
    ALIGNED_SCHEMA,
    IMAGE_SCHEMA,
    SplitFractions,
    dataset_root,
    read_manifest,
    split_of,
    write_manifest,
)


def _sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _record(name: str, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "sha256": _sha(name), "source": name, "source_sha256": None, "subject": "s", "licence": "CC0-1.0",
        "consent": "granted", "consent_reason": None, "consent_time": None, "category": "human",
        "attributes": ("beard", "smile"), "width": 4, "height": 4, "split": "train", "shard": "shards/00.tar",
        "offset": 512, "length": 9, "scene": None, "landmarks": None,
    }  # fmt: skip
    return {**base, **changes}


def test_manifest_bytes_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = [_record("a"), _record("b", landmarks=(1.0,) * 10), _record("c", scene="{}", source_sha256=_sha("x"))]
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name).mkdir()
        write_manifest(pd.DataFrame(order), tmp_path / name)
    one, two = ((tmp_path / name / "manifest.parquet").read_bytes() for name in ("one", "two"))
    assert one == two


def test_manifest_comes_back_as_written_and_can_be_written_again(tmp_path: Path) -> None:
    write_manifest(pd.DataFrame([_record("a", landmarks=(0.5,) * 10), _record("b")]), tmp_path)
    first = (tmp_path / "manifest.parquet").read_bytes()
    frame = read_manifest(tmp_path)
    by_source = frame.set_index("source")
    assert list(frame.columns) == IMAGE_SCHEMA.names
    assert list(by_source.loc["a", "attributes"]) == ["beard", "smile"]
    assert list(by_source.loc["a", "landmarks"]) == [0.5] * 10
    assert by_source.loc["b", "landmarks"] is None
    assert frame["scene"].isna().all()
    write_manifest(frame, tmp_path)
    assert (tmp_path / "manifest.parquet").read_bytes() == first


def test_aligned_manifest_keeps_its_transform_to_the_last_bit(tmp_path: Path) -> None:
    transform = tuple(1 / (3 + i) for i in range(6))
    record = _record("a", parent=_sha("p"), parent_width=8, parent_height=8, transform=transform, landmarks=(1.0,) * 10)
    write_manifest(pd.DataFrame([record], columns=ALIGNED_SCHEMA.names), tmp_path)
    assert tuple(read_manifest(tmp_path).loc[0, "transform"]) == transform


def test_missing_manifest_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.parquet"):
        read_manifest(tmp_path)


def test_dataset_root_is_of_the_set_and_of_every_member() -> None:
    members = [_sha(str(i)) for i in range(7)]
    root = dataset_root(members)
    assert root == dataset_root(members[::-1]) == dataset_root([*members, members[0]])
    assert len({root, dataset_root(members[:-1]), dataset_root([*members, _sha("new")]), dataset_root([])}) == 4
    # The root's definition is a contract: ledgers and releases hold roots.
    assert root == "2c37a6c48be969b73573bb2bb70e54be11da9616d9e45e5a1337112474194488"


def test_split_of_a_subject_is_a_contract_and_only_grows_with_its_fraction() -> None:
    subjects = [f"person {i}" for i in range(2000)]
    splits = [split_of(subject, SplitFractions()) for subject in subjects]
    # 2,000 draws: the standard deviation of a share of 0.15 is 0.008, of one of 0.05 it is 0.005.
    assert abs(splits.count("test") / 2000 - 0.15) < 0.03
    assert abs(splits.count("validation") / 2000 - 0.05) < 0.02
    wider = [split_of(subject, SplitFractions(test=0.3)) for subject in subjects]
    assert all(after == "test" for before, after in zip(splits, wider, strict=True) if before == "test")


def test_split_that_leaves_no_training_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        SplitFractions(test=0.6, validation=0.4)
