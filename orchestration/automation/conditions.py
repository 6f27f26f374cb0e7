"""What Dagster itself decides: a new report starts its release, and a release that is too old is called stale."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
from dagster import AssetSelection, AutomationCondition

from orchestration.automation.status import status
from orchestration.automation_sections import RELEASES, Automation
from orchestration.graph import GRAPH, AssetNode
from orchestration.workspace import Workspace

ON_REPORT = "reports_to_releases"


def condition_of(node: AssetNode) -> AutomationCondition[Any] | None:
    """When a release is made by itself; None for anything else."""
    return on_new_report(node) if node.gated else None


def freshness_of(node: AssetNode) -> dg.FreshnessPolicy | None:
    """After how long a release counts as stale, where params.yaml says so."""
    days = Workspace.current().params().automation.freshness.get(node.name) if node.gated else None
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days)) if days is not None else None


def on_new_report(node: AssetNode) -> AutomationCondition[Any]:
    """A report came out different, or for the first time, since the release was last made or asked for.

    By data version: a report that was only found to stand starts nothing. A run that makes both is not disturbed.
    """
    reports = AssetSelection.assets(*(dep for dep in node.deps if GRAPH[dep].group == "reports"))
    changed = AutomationCondition.any_deps_match(AutomationCondition.data_version_changed()).allow(reports)
    return (
        changed.since_last_handled()
        & ~AutomationCondition.in_progress()
        & ~AutomationCondition.any_deps_in_progress()
        & ~AutomationCondition.any_deps_missing()
    ).with_label("a report of it changed")


def report_sensor(settings: Automation) -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the releases' conditions."""
    return dg.AutomationConditionSensorDefinition(
        ON_REPORT,
        target=AssetSelection.assets(*RELEASES),
        default_status=status(settings.releases.on_report),
        description="automation.releases.on_report: a new report starts its release, and with it the gate.",
    )
