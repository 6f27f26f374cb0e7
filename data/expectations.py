"""What a manifest must satisfy, as Great Expectations suites; a failed one blocks what is downstream.

Great Expectations looks at flat columns. Nested ones (attributes, landmarks) and relations between rows become
columns of `facts_of` first, so that the result document names them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.alignment import Template
from data.attribute_names import has_all
from data.image_set import Kind
from data.manifest import SPLITS

KINDS: tuple[str, ...] = get_args(Kind)
REFERENCE_TOLERANCE_PX = 0.05  # landmarks are stored as float32; rounding is far below this, a wrong template far above
_SHA256 = r"^[0-9a-f]{64}$"


@dataclass(frozen=True)
class Rule:
    """One expectation: the library's name for it, and its arguments."""

    type: str
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class ExpectationResult:
    """Whether every expectation held, the failed ones in words, and the library's whole result document."""

    success: bool
    failed: tuple[str, ...]
    document: dict[str, Any]


def validate_manifest(
    kind: Kind,
    frame: pd.DataFrame,
    *,
    min_size_px: int = 1,
    size_px: int | None = None,
    template: Template | None = None,
    attribute: str | None = None,
    min_rows: int = 1,
) -> ExpectationResult:
    """Checks a manifest's rows against the suite of its kind.

    `size_px` and `template` belong to aligned sets, `attribute` to attribute sets. Raises ValueError without them.
    """
    if kind != "images" and (size_px is None or template is None):
        raise ValueError(f"a manifest of {kind} is checked against its size_px and template")
    if kind == "attribute_images" and attribute is None:
        raise ValueError("a manifest of attribute_images is checked against its attribute")
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read when the library is imported, which happens below
    facts = facts_of(frame, size_px, template, attribute)
    rules = _common(min_rows, min_size_px)
    if kind != "images":
        rules += _aligned(size_px or 0)
    if kind == "attribute_images":
        rules += _of_attribute()
    return _run(kind, facts, rules)


def facts_of(
    frame: pd.DataFrame, size_px: int | None = None, template: Template | None = None, attribute: str | None = None
) -> pd.DataFrame:
    """The manifest's flat columns, and what follows from the nested ones.

    `splits_of_subject` counts the splits in which the row's subject stands; `landmarks_inside` is false when a known
    landmark lies outside the image; `reference_error_px` is the larger of both
    reference points' distances to the template.
    """
    nested = [name for name in ("attributes", "landmarks", "transform", "scene") if name in frame.columns]
    facts = frame.drop(columns=nested)
    facts["splits_of_subject"] = frame.groupby("subject")["split"].transform("nunique")
    points = _points(frame["landmarks"])
    facts["landmarks_inside"] = _inside(points, frame["width"].to_numpy(), frame["height"].to_numpy())
    if template is not None and size_px is not None:
        away = np.linalg.norm(points[:, :2] - template.points_px(size_px), axis=2).max(axis=1)
        facts["reference_error_px"] = np.nan_to_num(away, nan=np.inf)
    if attribute is not None:
        facts["has_attribute"] = [has_all(attribute, names) for names in frame["attributes"]]
    return facts


def _points(landmarks: pd.Series[Any]) -> NDArray[np.float64]:
    """N×P×2, P the most that a row has (at least the two reference points); NaN where a row has none."""
    rows = [() if known is None or np.ndim(known) == 0 else np.asarray(known, np.float64) for known in landmarks]
    points = np.full((len(rows), max([4, *map(len, rows)])), np.nan)
    for place, row in zip(points, rows, strict=True):
        place[: len(row)] = row
    return points.reshape(len(rows), points.shape[1] // 2, 2)


def _inside(points: NDArray[np.float64], width: NDArray[Any], height: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the reference points and the next (a face's eyes and nose) lie in the image.

    An unknown landmark cannot be wrong, and a crop may cut the others (the mouth).
    """
    inner = points[:, :3]
    size = np.stack([width, height], axis=1)[:, None, :]
    outside = (inner < -0.5) | (inner > size - 0.5)  # false for NaN
    return np.asarray(~outside.any(axis=(1, 2)))


def _rule(kind: str, column: str, **bounds: Any) -> Rule:
    return Rule(f"expect_column_values_to_{kind}", {"column": column, **bounds})


def _common(min_rows: int, min_size_px: int) -> list[Rule]:
    present = ("sha256", "source", "subject", "licence", "consent", "category", "split", "shard", "offset", "length")
    return [
        Rule("expect_table_row_count_to_be_between", {"min_value": min_rows}),
        *(_rule("not_be_null", column) for column in present),
        _rule("be_unique", "sha256"),
        _rule("match_regex", "sha256", regex=_SHA256),
        _rule("be_in_set", "consent", value_set=["granted"]),
        _rule("be_in_set", "split", value_set=list(SPLITS)),
        _rule("be_between", "splits_of_subject", min_value=1, max_value=1),
        _rule("not_match_regex", "source", regex=r"^(?:/|[A-Za-z]:\\)"),  # no machine's own paths
        _rule("be_between", "width", min_value=min_size_px),
        _rule("be_between", "height", min_value=min_size_px),
        _rule("be_between", "length", min_value=1),
        _rule("be_in_set", "landmarks_inside", value_set=[True]),
    ]


def _aligned(size_px: int) -> list[Rule]:
    return [
        _rule("be_in_set", "width", value_set=[size_px]),
        _rule("be_in_set", "height", value_set=[size_px]),
        _rule("not_be_null", "parent"),
        _rule("match_regex", "parent", regex=_SHA256),
        _rule("be_between", "reference_error_px", min_value=0, max_value=REFERENCE_TOLERANCE_PX),
    ]


def _of_attribute() -> list[Rule]:
    return [
        _rule("be_in_set", "has_attribute", value_set=[True]),
        _rule("be_in_set", "split", value_set=["train"]),
    ]


def _run(kind: Kind, facts: pd.DataFrame, rules: Sequence[Rule]) -> ExpectationResult:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(name=kind)
    for rule in rules:
        suite.add_expectation_configuration(ExpectationConfiguration(type=rule.type, kwargs=dict(rule.kwargs)))
    asset = context.data_sources.add_pandas("manifests").add_dataframe_asset(kind)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": facts})
    result = batch.validate(suite)
    document: dict[str, Any] = result.to_json_dict()  # type: ignore[no-untyped-call]
    failed = tuple(_in_words(one) for one in document["results"] if not one["success"])
    return ExpectationResult(bool(document["success"]), failed, document)


def _in_words(result: dict[str, Any]) -> str:
    """For example: `consent: expect column values to be in set, 2 of 40 rows, such as 'withdrawn'`."""
    config, found = result["expectation_config"], result.get("result", {})
    subject, rule = config["kwargs"].get("column", "table"), config["type"].replace("_", " ")
    if "unexpected_count" not in found:
        raised = result.get("exception_info", {}).get("exception_message")
        return f"{subject}: {rule}, found {found.get('observed_value', raised)}"
    examples = ", ".join(repr(value) for value in found.get("partial_unexpected_list", [])[:3])
    counts = f"{found['unexpected_count']} of {found['element_count']} rows"
    return f"{subject}: {rule}, {counts}, such as {examples}"
