"""No library that Editloom stands on reports its use to anyone."""

from __future__ import annotations

import os

SILENT = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def silence() -> None:
    """Switch off every library's telemetry in this process and its children; call it before importing them.

    Whatever the environment said before, these settings win.
    """
    os.environ.update(SILENT)
