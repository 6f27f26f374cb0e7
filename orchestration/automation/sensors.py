"""Sensors: the inbox, withdrawals of consent, devices of dead processes."""

from __future__ import annotations

import time

import dagster as dg
from dagster import SensorEvaluationContext, SensorResult

from data.errors import UserError
from orchestration.automation.graph_run import JOB, dependents_of, editloom_run, run_config
from orchestration.automation.inbox import Cursor, look, target_of
from orchestration.automation.status import status
from orchestration.automation_sections import Automation
from orchestration.consent.registry import consent_entries
from orchestration.workspace import Workspace

BUDGET_S = 30.0
"""How long one look may take: Dagster gives a sensor 60 s. What is left is done by the next one."""
BATCH_TAG, CONSENT_TAG = "editloom/batch", "editloom/withdrawal"


def inbox_sensor(settings: Automation) -> dg.SensorDefinition:
    """A drop of enough new photographs becomes a batch, and one run makes what depends on it."""

    def inbox(context: SensorEvaluationContext) -> SensorResult:
        ws, until = Workspace.current(), time.monotonic() + BUDGET_S
        try:
            section = ws.params().automation.inbox
            if not section.enabled:
                return _skipped("automation.inbox.enabled is false in params.yaml.", context.cursor)
            found = look(ws, section, Cursor.read(context.cursor), time.time(), until)
            asset_id, _ = target_of(ws, section)
        except UserError as error:
            return _skipped(f"{error.message} {error.hint}", context.cursor)
        if not found.batches:
            return _skipped(found.said, found.cursor.write())
        newest = found.batches[-1]
        request = dg.RunRequest(
            run_key=newest.digest, run_config=run_config(*dependents_of(ws, asset_id)), tags={BATCH_TAG: newest.name}
        )
        return SensorResult(run_requests=[request], cursor=found.cursor.write())

    return dg.SensorDefinition(
        name="inbox",
        evaluation_fn=inbox,
        job=editloom_run,
        minimum_interval_seconds=settings.inbox.interval_s,
        default_status=status(settings.inbox.enabled),
        description="automation.inbox: enough new photographs become an ingest batch, and what depends on it is made.",
        metadata={"job": JOB, "path": str(settings.inbox.path), "threshold": settings.inbox.threshold},
    )


def consent_sensor(settings: Automation) -> dg.SensorDefinition:
    """A withdrawal in the ledger starts the run that makes everything again without the image."""

    def consent(context: SensorEvaluationContext) -> SensorResult:
        ws = Workspace.current()
        try:
            if not ws.params().automation.consent.retrain:
                return _skipped("automation.consent.retrain is false in params.yaml.", context.cursor)
        except UserError as error:
            return _skipped(f"{error.message} {error.hint}", context.cursor)
        known = context.cursor or ""
        looked_up_to = int(known) if known.isdigit() else 0
        fresh = [one.entry.seq for one in consent_entries(ws.root) if one.withdrawn and one.entry.seq > looked_up_to]
        if not fresh:
            return _skipped("No withdrawal since the last look.", context.cursor)
        request = dg.RunRequest(
            run_key=f"withdrawal-{fresh[-1]}", run_config=run_config(), tags={CONSENT_TAG: str(fresh[-1])}
        )
        return SensorResult(run_requests=[request], cursor=str(fresh[-1]))

    return dg.SensorDefinition(
        name="consent",
        evaluation_fn=consent,
        job=editloom_run,
        minimum_interval_seconds=settings.consent.interval_s,
        default_status=status(settings.consent.retrain),
        description="automation.consent.retrain: a withdrawal in the ledger starts a run without the image.",
    )


def reaper_sensor(settings: Automation) -> dg.SensorDefinition:
    """Devices that dead processes held are free again, also while no step waits for one."""

    def reaper(context: SensorEvaluationContext) -> SensorResult:
        from orchestration.compute.reaper import reap

        return _skipped(reap(Workspace.current(), thorough=True, wait=False).told, context.cursor)

    return dg.SensorDefinition(
        name="reaper",
        evaluation_fn=reaper,
        minimum_interval_seconds=settings.reaper.interval_s,
        default_status=status(settings.reaper.enabled),
        description="automation.reaper: devices of dead processes are returned.",
    )


def _skipped(said: str, cursor: str | None) -> SensorResult:
    return SensorResult(skip_reason=said, cursor=cursor)
