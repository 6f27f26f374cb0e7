"""The graph's code location: `dagster dev -m orchestration.definitions`. It only composes.

What starts by itself stands in `orchestration.automation.definitions`; only conditions of assets must stand with them.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration import telemetry

telemetry.silence()

from orchestration.assets import ALL_ASSETS  # noqa: E402 – telemetry is silenced first
from orchestration.automation.conditions import report_sensor  # noqa: E402
from orchestration.graph import GRAPH  # noqa: E402
from orchestration.workspace import Workspace  # noqa: E402


def _job(name: str, description: str, *, partitioned: bool) -> UnresolvedAssetJobDefinition:
    chosen = [node.name for node in GRAPH.values() if bool(node.partition) == partitioned]
    return dg.define_asset_job(name, dg.AssetSelection.assets(*chosen), description=description)


defs = dg.Definitions(
    assets=ALL_ASSETS,
    jobs=[
        _job("shared", "What all attributes stand on: images, judges, original network.", partitioned=False),
        _job("attribute", "One attribute's chain, from its images to its release.", partitioned=True),
    ],
    sensors=[report_sensor(Workspace.current().params().automation)],
    executor=dg.multiprocess_executor.configured({"max_concurrent": 4}),
)
