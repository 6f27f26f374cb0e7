"""The code location: `dagster dev -m orchestration.definitions`. It only composes."""

from __future__ import annotations

import dagster as dg

from orchestration import telemetry

telemetry.silence()

from orchestration.assets import ALL_ASSETS  # noqa: E402 – telemetry is silenced first

defs = dg.Definitions(
    assets=ALL_ASSETS,
    jobs=[dg.define_asset_job("shared", dg.AssetSelection.assets("original_report").upstream())],
    executor=dg.multiprocess_executor.configured({"max_concurrent": 4}),
)
