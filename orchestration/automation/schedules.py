"""Schedules: a system is brought up to date at fixed times; what is up to date is reused."""

from __future__ import annotations

import dagster as dg
from dagster import DefaultScheduleStatus

from orchestration.automation.graph_run import chain_of, editloom_run, run_config
from orchestration.automation_sections import SYSTEMS, Automation

MONDAYS = "0 3 * * 1"
"""What the page shows of a system for which params.yaml has no time; it does not run."""


def system_schedules(settings: Automation) -> list[dg.ScheduleDefinition]:
    """One schedule for each system, running where `automation.schedules` says when."""
    return [
        dg.ScheduleDefinition(
            name=f"{system}_system",
            cron_schedule=settings.schedules.get(system, MONDAYS),
            job=editloom_run,
            run_config=run_config(chain_of(system)),
            execution_timezone=settings.timezone,
            default_status=DefaultScheduleStatus.RUNNING
            if system in settings.schedules
            else DefaultScheduleStatus.STOPPED,
            tags={"editloom/system": system},
            description=f"automation.schedules.{system}: the {system} system is brought up to date.",
        )
        for system in SYSTEMS
    ]
