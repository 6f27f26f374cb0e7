"""MLflow, through `MlflowClient` alone: no process-global state, idempotent over retries."""

from orchestration.tracking.runs import TrackedRun, Tracker, open_tracker

__all__ = ["TrackedRun", "Tracker", "open_tracker"]
