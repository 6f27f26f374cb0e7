"""How often, and after what wait, Dagster tries a bulk step again."""

from __future__ import annotations

import dagster as dg

from orchestration.workspace import Workspace


def retry_policy() -> dg.RetryPolicy:
    """The policy that params.yaml sets: each wait is twice as long as the last, and drawn anew around that.

    A step whose process was killed under the multiprocess executor falls under it too. What cannot end better the
    second time (a person's mistake, a refusal, a stop, a full disk) is not tried again: such a failure says so itself.
    """
    compute = Workspace.current().params().compute
    return dg.RetryPolicy(
        max_retries=compute.retries,
        delay=compute.retry_delay_s,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )
