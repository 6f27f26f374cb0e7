"""What `dvc metrics` and `dvc plots` show: numbers, curves and pictures that lie in payloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.graph import expand

SUMMARY = "summary.json"
REPORTS = ("original_report", "attribute_report", "fusion_report")
PICTURES: Mapping[str, str] = {
    "original_report": "sheet.png",
    "attribute_report": "sheet.png",
    "fusion_report": "pareto.png",
}
CURVED, CURVE_FILE = "feature_network", "snapshots.json"
CURVES: Mapping[str, str] = {
    "score": "Feature networks: score of each snapshot",
    "probability": "Feature networks: probability of the attribute",
    "identity_cosine": "Feature networks: identity kept",
}
"""Each a plot over thousands of images shown, with a curve for every attribute."""


def metrics(attributes: Sequence[str]) -> list[str]:
    """Files of numbers, one per report: flat, the judge in each key."""
    return _files(attributes, dict.fromkeys(REPORTS, SUMMARY))


def plots(attributes: Sequence[str]) -> list[Any]:
    """Curves over training, then pictures: a plot of DVC's each."""
    curves = [_curve(attributes, field, title) for field, title in CURVES.items()] if attributes else []
    return [*curves, *_files(attributes, PICTURES)]


def _curve(attributes: Sequence[str], field: str, title: str) -> dict[str, Any]:
    files = _files(attributes, {CURVED: CURVE_FILE})
    drawn = {"title": title, "x": "kimg", "x_label": "kimg", "y": dict.fromkeys(files, field), "y_label": field}
    return {f"{CURVED}_{field}": drawn}


def _files(attributes: Sequence[str], wanted: Mapping[str, str]) -> list[str]:
    """A file of an asset's payload, once for every partition."""
    return [(one.path / wanted[one.asset]).as_posix() for one in expand(attributes, wanted)]
