"""Who hears of a failed run: the log, and a webhook if params.yaml names one. One `editloom run` is told of once."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster import RunFailureSensorContext

from data.errors import UserError
from orchestration.automation.status import status
from orchestration.automation_sections import Automation, Failures
from orchestration.worker import STARTED_BY_TAG
from orchestration.workspace import Workspace

LONGEST = 2000
"""Characters of an error that are told; the run's page has all of it."""


def failure_sensor(settings: Automation) -> dg.SensorDefinition:
    """A line in the log for each failed run of any job, and a message to the webhook; neither ever fails itself."""

    @dg.run_failure_sensor(
        name="failures",
        monitor_all_code_locations=True,
        default_status=status(settings.failures.enabled),
        description="automation.failures: a failed run is logged, and posted to the webhook if there is one.",
    )
    def failures(context: RunFailureSensorContext) -> None:
        report(context)

    return failures


def report(context: RunFailureSensorContext) -> None:
    """Tell of one failed run, unless the run that started it will: its words are the whole command's."""
    if STARTED_BY_TAG in context.dagster_run.tags:
        context.log.info("The run that started this one tells of it.")
        return
    ws = Workspace.current()
    said = _document(context, ws)
    context.log.error(said["text"])
    try:
        problem = post(ws.params().automation.failures, said)
    except UserError as error:
        problem = error.message
    if problem:
        context.log.warning(f"The webhook was not told: {problem}")


def post(section: Failures, document: Mapping[str, Any]) -> str:
    """Post a document to the webhook, if there is one; what went wrong, or nothing."""
    if section.webhook is None:
        return ""
    request = urllib.request.Request(
        section.webhook, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=section.timeout_s):
            return ""
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _document(context: RunFailureSensorContext, ws: Workspace) -> dict[str, Any]:
    run = context.dagster_run
    failed = [event for event in context.get_step_failure_events() if event.step_key]
    steps = [str(event.step_key) for event in failed]
    error = "\n".join(map(_words, failed)) or str(context.failure_event.message or "")
    error = error[:LONGEST]
    named = run.tags.get("editloom/run", run.job_name)
    partition = run.tags.get("dagster/partition")
    where = f" in {', '.join(steps)}" if steps else ""
    of = f" [{partition}]" if partition else ""
    return {
        "text": f"{named} failed{where}{of}: {error}",
        "workspace": ws.root.name,
        "run_id": run.run_id,
        "job": run.job_name,
        "partition": partition,
        "steps": steps,
        "error": error,
        "tags": dict(run.tags),
    }


def _words(event: dg.DagsterEvent) -> str:
    """What a failed step said: a Failure's own description, else the error that stands behind Dagster's wrapping."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else str(event.message or "")
