"""What Dagster's page shows of a materialization: facts, pictures, links."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import dagster as dg
import numpy as np

from orchestration.graph import AssetId
from orchestration.report_tables import SLICE_TITLES, metric_rows, metric_titles, table, worst_slices
from orchestration.step import CheckOutcome, Outcome
from orchestration.tracking.links import mlflow_run_url, version_url
from orchestration.tracking.reports import PAGE, ReportRecord, read_report
from orchestration.workspace import Workspace

MAX_PICTURE_WIDTH_PX = 640


def metadata_of(
    facts: Mapping[str, Any], outcome: Outcome | None, ws: Workspace, asset_id: AssetId, reused: bool
) -> dict[str, dg.MetadataValue[Any]]:
    """Facts as typed metadata, each picture inline, a report's tables, and links to its page and its MLflow run."""
    payload = ws.root / asset_id.path
    report = read_report(payload)
    shown: dict[str, dg.MetadataValue[Any]] = {"reused": dg.MetadataValue.bool(reused)}
    for key, value in facts.items():
        if report is None or "/" not in key or key.startswith(f"{report.measured}/"):
            shown[key] = _value(value)
    for key, image in (outcome.images if outcome else {}).items():
        shown[key] = dg.MetadataValue.md(f"![{key}]({_data_uri(image)})")
    if report is not None:
        shown |= _report_metadata(report, payload)
    if "mlflow_run" in facts:
        shown["mlflow"] = dg.MetadataValue.url(mlflow_run_url(ws, str(facts["mlflow_run"])))
    if "model version" in facts:
        shown["registered"] = dg.MetadataValue.url(version_url(ws, str(facts["model"]), str(facts["model version"])))
    return shown


def _report_metadata(report: ReportRecord, payload: Path) -> dict[str, dg.MetadataValue[Any]]:
    """The metrics beside the sanity rows, the worst slices, and where the whole report lies."""
    shown: dict[str, dg.MetadataValue[Any]] = {
        "metrics": dg.MetadataValue.md(table(metric_rows(report), metric_titles(report)))
    }
    if report.slices:
        shown["worst slices"] = dg.MetadataValue.md(table(worst_slices(report), SLICE_TITLES))
    if (payload / PAGE).exists():
        shown["report"] = dg.MetadataValue.url((payload / PAGE).as_uri())
    return shown


def check_result(check: CheckOutcome, evidence: Path) -> dg.AssetCheckResult:
    """A blocking check's result, with where its full document lies."""
    return dg.AssetCheckResult(
        passed=check.passed,
        check_name=check.name,
        severity=dg.AssetCheckSeverity.ERROR,
        description=check.summary,
        metadata={
            "document": dg.MetadataValue.path(str(evidence / "checks.json")),
            "result": dg.MetadataValue.json(json.loads(json.dumps(check.document, default=str))),
        },
    )


def _value(value: Any) -> dg.MetadataValue[Any]:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    return dg.MetadataValue.text(str(value))


def _data_uri(image: np.ndarray[Any, Any]) -> str:
    height, width = image.shape[:2]
    if width > MAX_PICTURE_WIDTH_PX:
        size = (MAX_PICTURE_WIDTH_PX, round(height * MAX_PICTURE_WIDTH_PX / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, png = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
