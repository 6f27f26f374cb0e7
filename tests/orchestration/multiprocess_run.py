"""One asset of the current workspace under Dagster's multiprocess executor, as its page runs it.

As a program: `python tests/orchestration/multiprocess_run.py ASSET PARTITION`; ends with 1 where the run failed.
"""

from __future__ import annotations

import sys

import dagster as dg

from orchestration.definitions import defs
from orchestration.workspace import Workspace


def attribute_job() -> dg.JobDefinition:
    """The code location's own job for one attribute, with its executor."""
    return defs.resolve_job_def("attribute")


def main() -> None:
    """See above."""
    asset, partition = sys.argv[1:]
    with Workspace.current().dagster_instance() as instance:
        result = dg.execute_job(
            dg.reconstructable(attribute_job),
            instance=instance,
            asset_selection=[dg.AssetKey(asset)],
            tags={"dagster/partition": partition},
        )
        for event in result.all_events:
            print(event.event_type_value, event.message or "")
        sys.exit(0 if result.success else 1)


if __name__ == "__main__":
    main()
