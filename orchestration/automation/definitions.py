"""The code location of what starts by itself: `dagster dev -m orchestration.automation.definitions`.

It stands apart from the graph's, so that what looks for work every few seconds does not carry torch.
Name both: `-m orchestration.definitions` too.
"""

from __future__ import annotations

import dagster as dg

from orchestration import telemetry

telemetry.silence()

from orchestration.automation.failures import failure_sensor  # noqa: E402 – telemetry is silenced first
from orchestration.automation.graph_run import editloom_run  # noqa: E402
from orchestration.automation.schedules import system_schedules  # noqa: E402
from orchestration.automation.sensors import consent_sensor, inbox_sensor, reaper_sensor  # noqa: E402
from orchestration.workspace import Workspace  # noqa: E402

_settings = Workspace.current().params().automation

defs = dg.Definitions(
    jobs=[editloom_run],
    sensors=[
        inbox_sensor(_settings),
        consent_sensor(_settings),
        reaper_sensor(_settings),
        failure_sensor(_settings),
    ],
    schedules=system_schedules(_settings),
)
