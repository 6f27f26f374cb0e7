"""Each expectation on a manifest fails for the fault that it is there to catch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from data.alignment import Template
from data.expectations import validate_manifest

TEMPLATE = Template()


def _frame(rows: int = 6) -> pd.DataFrame:
    eyes = TEMPLATE.points_px(64).ravel().tolist()
    return pd.DataFrame(
        {
            "sha256": [hashlib.sha256(bytes([i])).hexdigest() for i in range(rows)],
            "source": [f"{i}.png" for i in range(rows)],
            "source_sha256": None,
            "subject": [f"s{i // 2}" for i in range(rows)],
            "licence": "CC0-1.0",
            "consent": "granted",
            "category": "human",
            "attributes": [np.array(["beard"], object)] * rows,
            "width": 64,
            "height": 64,
            "split": "train",
            "shard": "shards/00.tar",
            "offset": 512,
            "length": 100,
            "scene": None,
            "landmarks": [np.array([*eyes, 32, 40, np.nan, np.nan, np.nan, np.nan], np.float32)] * rows,
            "parent": hashlib.sha256(b"p").hexdigest(),
            "parent_width": 96,
            "parent_height": 96,
            "transform": [np.zeros(6)] * rows,
        }
    )


def _set(column: str, value: object) -> Callable[[pd.DataFrame], None]:
    def change(frame: pd.DataFrame) -> None:
        values = list(frame[column])
        values[1] = value
        frame[column] = pd.Series(values, dtype=object)

    return change


def test_sound_manifests_pass_and_the_document_is_json() -> None:
    images = _frame().drop(columns=["parent", "parent_width", "parent_height", "transform"])
    images["landmarks"] = None
    assert validate_manifest("images", images).success
    result = validate_manifest("attribute_images", _frame(), size_px=64, template=TEMPLATE, attribute="beard")
    assert result.success, result.failed
    assert json.loads(json.dumps(result.document))["statistics"]["unsuccessful_expectations"] == 0


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (_set("sha256", hashlib.sha256(bytes([0])).hexdigest()), "sha256: expect column values to be unique"),
        (_set("sha256", "abc"), "sha256: expect column values to match regex"),
        (_set("consent", "withdrawn"), "consent: expect column values to be in set, 1 of 6 rows, such as 'withdrawn'"),
        (_set("consent", None), "consent: expect column values to not be null"),
        (_set("split", "dev"), "split: expect column values to be in set"),
        (_set("split", "test"), "splits_of_subject: expect column values to be between"),
        (_set("source", "/home/someone/1.png"), "source: expect column values to not match regex"),
        (_set("width", 63), "width: expect column values to be in set"),
        (_set("parent", None), "parent: expect column values to not be null"),
        (_set("landmarks", np.full(10, 70.0)), "landmarks_inside: expect column values to be in set"),
        (_set("landmarks", np.full(10, 30.0)), "reference_error_px: expect column values to be between"),
        (_set("landmarks", None), "reference_error_px: expect column values to be between"),
        (_set("attributes", np.array(["smile"], object)), "has_attribute: expect column values to be in set"),
    ],
)
def test_fault_is_found_and_named(fault: Callable[[pd.DataFrame], None], named: str) -> None:
    frame = _frame()
    fault(frame)
    result = validate_manifest("attribute_images", frame, size_px=64, template=TEMPLATE, attribute="beard")
    assert not result.success
    assert any(named in failed for failed in result.failed), result.failed


def test_empty_manifest_fails() -> None:
    result = validate_manifest("images", _frame().head(0))
    assert any("table: expect table row count" in failed for failed in result.failed)


def test_aligned_manifest_needs_its_template() -> None:
    with pytest.raises(ValueError, match="size_px and template"):
        validate_manifest("aligned_images", _frame())
