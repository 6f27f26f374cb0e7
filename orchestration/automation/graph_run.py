"""The job that sensors and schedules ask for: one `editloom run`, with its plan, its lock and its reuse.

Dagster would need a run for what the partitions share and then one for each partition, and nobody between them to
say which; the command knows. So whoever starts it, a person or a sensor, the same thing happens.
"""

# No `annotations` from the future: Dagster reads the config's type from the op's annotation.
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from orchestration.graph import GRAPH, AssetId, downstream, ordered, upstream
from orchestration.store import ledger
from orchestration.worker import STARTED_BY_VARIABLE
from orchestration.workspace import Workspace

JOB = "editloom_run"
EXIT_REFUSED = 3
LAST_LINES = 12
STOP_WAIT_S = 60.0


class GraphRun(dg.Config):
    """What `editloom run` is to make: a selection and partitions, as on the command line; empty: everything."""

    select: str = ""
    partitions: list[str] = []  # noqa: RUF012 – a field of a pydantic model


@dg.op(name="run_graph", description="`editloom run`: makes what is out of date, reuses the rest.")
def run_graph(context: dg.OpExecutionContext, config: GraphRun) -> None:
    """Run the command, its words in this run's log. Raises Failure when it fails; a gate's no is no failure."""
    command = [sys.executable, "-m", "orchestration.cli", "run"]
    command += ["--select", config.select] if config.select else []
    command += [word for partition in config.partitions for word in ("--partition", partition)]
    code, last = _followed(context, command)
    context.add_output_metadata({"exit status": code, "command": " ".join(["editloom", *command[3:]])})
    if code == EXIT_REFUSED:
        context.log.warning("A gate refused a release; what was published stays.")
    elif code:
        raise dg.Failure(f"editloom run ended with status {code}: {last}", allow_retries=False)


def _followed(context: dg.OpExecutionContext, command: Sequence[str]) -> tuple[int, str]:
    """The exit status of a command and its last words; interrupted, it is let save its state."""
    environment = {**os.environ, "COLUMNS": "160", "PYTHONUNBUFFERED": "1", STARTED_BY_VARIABLE: context.run_id}
    process = subprocess.Popen(
        command, cwd=Workspace.current().root, env=environment, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    last: deque[str] = deque(maxlen=LAST_LINES)
    try:
        for line in process.stdout or ():
            if line.strip():
                context.log.info(line.rstrip())
                last.append(line.strip())
        return process.wait(), "\n".join(last)
    except BaseException:
        _stop(process)
        raise


def _stop(process: "subprocess.Popen[str]") -> None:
    """Ctrl-C, as a person would: every step saves its state; what does not heed it is ended."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dg.job(
    name=JOB,
    description="One `editloom run`: what is missing or out of date is made, the rest reused. Launch it from here too.",
    executor_def=dg.in_process_executor,
)
def editloom_run() -> None:
    """One op: the command."""
    run_graph()


def run_config(selection: str = "", partitions: Sequence[str] = ()) -> Mapping[str, Any]:
    """The job's configuration for a selection (empty: everything) and partitions."""
    return {"ops": {"run_graph": {"config": {"select": selection, "partitions": list(partitions)}}}}


def dependents_of(ws: Workspace, asset_id: AssetId) -> tuple[str, tuple[str, ...]]:
    """The selection and partitions for all that is made from an asset, and for what that needs and was never made."""
    chosen = {asset_id.asset, *downstream(asset_id.asset)}
    partitions = (asset_id.partition,) if asset_id.partition else tuple(ws.params().attributes)
    needed = {name for asset in chosen for name in upstream(asset)} - chosen
    missing = [name for name in needed if not _made(ws, name, partitions)]
    words = [f"{asset_id.asset}+", *ordered(missing)]
    return ",".join(words), (asset_id.partition,) if asset_id.partition else ()


def _made(ws: Workspace, name: str, partitions: Sequence[str]) -> bool:
    keys: Sequence[str | None] = partitions if GRAPH[name].partition else [None]
    return all(ledger.last_entry(ws.root, name, key) is not None for key in keys)


def chain_of(system: str) -> str:
    """The selection of a system: every asset of its partitions, and all that they stand on."""
    return ",".join(f"+{node.name}" for node in GRAPH.values() if node.partition == system)
