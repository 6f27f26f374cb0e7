"""Short Dagster runs one after the other, as one front end of several: `python many_runs.py WORKSPACE RUNS`."""

import sys
from pathlib import Path

import dagster as dg

from orchestration.compute.admission import POOL
from orchestration.workspace import Workspace


@dg.op(pool=POOL)
def first() -> int:
    return 1


@dg.op(pool=POOL)
def second(one: int) -> int:
    return one + 1


@dg.job(executor_def=dg.in_process_executor)
def short_run() -> None:
    second(first())


def main() -> None:
    root, runs = sys.argv[1:]
    with Workspace.at(Path(root)).dagster_instance() as instance:
        for _ in range(int(runs)):
            assert short_run.execute_in_process(instance=instance).success


if __name__ == "__main__":
    main()
