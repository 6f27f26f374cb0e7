"""Where Dagster's and MLflow's pages show a thing: each of the two links to the other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from orchestration.graph import AssetId
from orchestration.workspace import Workspace

DAGSTER_VARIABLE, MLFLOW_VARIABLE = "EDITLOOM_DAGSTER_URL", "EDITLOOM_MLFLOW_URL"
DAGSTER, MLFLOW = "dagster", "mlflow"
DEFAULTS: Mapping[str, str] = {DAGSTER: "http://127.0.0.1:3000", MLFLOW: "http://127.0.0.1:5000"}
PAGES_FILE = "pages.json"


def remember_pages(ws: Workspace, addresses: Mapping[str, str]) -> None:
    """Note where `editloom ui` serves, for the links of later runs."""
    ws.state.mkdir(parents=True, exist_ok=True)
    (ws.state / PAGES_FILE).write_text(json.dumps(dict(addresses), sort_keys=True))


def dagster_url(ws: Workspace) -> str:
    """EDITLOOM_DAGSTER_URL, or where `editloom ui` last served Dagster, or its default."""
    return _base(ws, DAGSTER, os.environ.get(DAGSTER_VARIABLE))


def mlflow_url(ws: Workspace) -> str:
    """EDITLOOM_MLFLOW_URL, the tracking server itself, or where `editloom ui` last served MLflow, or its default."""
    server = ws.mlflow_uri if ws.mlflow_uri.startswith("http") else None
    return _base(ws, MLFLOW, os.environ.get(MLFLOW_VARIABLE) or server)


def asset_url(ws: Workspace, asset_id: AssetId) -> str:
    """The asset's page in Dagster, at its partition."""
    query = f"?{urlencode({'view': 'partitions', 'partition': asset_id.partition})}" if asset_id.partition else ""
    return f"{dagster_url(ws)}/assets/{quote(asset_id.asset)}{query}"


def dagster_run_url(ws: Workspace, run: str) -> str:
    """A run's page in Dagster."""
    return f"{dagster_url(ws)}/runs/{run}"


def mlflow_run_url(ws: Workspace, run: str) -> str:
    """A run's page in MLflow."""
    return f"{mlflow_url(ws)}/#/runs/{run}"


def version_url(ws: Workspace, model: str, version: str) -> str:
    """A registered version's page in MLflow."""
    return f"{mlflow_url(ws)}/#/models/{quote(model, safe='')}/versions/{version}"


def _base(ws: Workspace, page: str, named: str | None) -> str:
    return (named or _served(ws).get(page) or DEFAULTS[page]).rstrip("/")


def _served(ws: Workspace) -> dict[str, str]:
    try:
        return dict(json.loads((ws.state / PAGES_FILE).read_text()))
    except (OSError, ValueError):
        return {}
