"""MLflow, through `MlflowClient` alone: no process-global state, idempotent over retries and outages."""

from orchestration.tracking.run_log import RunLog, StepLog
from orchestration.tracking.runs import TrackedRun, Tracker, open_tracker
from orchestration.tracking.server import TrackingAwayError

__all__ = ["RunLog", "StepLog", "TrackedRun", "Tracker", "TrackingAwayError", "open_tracker"]
