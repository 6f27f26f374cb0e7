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

from orchestration.step import CheckOutcome, Outcome
from orchestration.workspace import Workspace

MAX_PICTURE_WIDTH_PX = 640


def metadata_of(
    facts: Mapping[str, Any], outcome: Outcome | None, ws: Workspace, reused: bool
) -> dict[str, dg.MetadataValue[Any]]:
    """Facts as typed metadata, each picture inline, and the MLflow run as a link where a server has one."""
    shown: dict[str, dg.MetadataValue[Any]] = {"reused": dg.MetadataValue.bool(reused)}
    for key, value in facts.items():
        shown[key] = _value(value)
    for key, image in (outcome.images if outcome else {}).items():
        shown[key] = dg.MetadataValue.md(f"![{key}]({_data_uri(image)})")
    if "mlflow_run" in facts and ws.mlflow_uri.startswith("http"):
        shown["mlflow"] = dg.MetadataValue.url(f"{ws.mlflow_uri}/#/runs/{facts['mlflow_run']}")
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
