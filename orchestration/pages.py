"""Dagster's and MLflow's pages on loopback, and Dagster's daemon, for as long as one looks at them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from rich.console import Console

from data.errors import UserError
from orchestration import arithmetic
from orchestration.tracking.links import DAGSTER, MLFLOW, remember_pages
from orchestration.tracking.replay import make_ready
from orchestration.workspace import Workspace

POLL_S = 0.5
END_S = 20.0
CODE_LOCATIONS = ("orchestration.definitions", "orchestration.automation.definitions")


def serve(ws: Workspace, host: str, dagster_port: int, mlflow_port: int, console: Console) -> None:
    """Run both servers until Ctrl-C or until one of them ends.

    Raises UserError for a port that is taken, before any is started, and with its log when a server ends on its own.
    """
    _require_free(host, {"--dagster-port": dagster_port, "--mlflow-port": mlflow_port})
    ws.dagster_instance().dispose()  # the pool's slots are as params.yaml has them now
    make_ready(ws)
    for asked in (signal.SIGINT, signal.SIGTERM):  # a shell may have had it ignored, and a service manager asks so
        signal.signal(asked, signal.default_int_handler)
    logs = ws.state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    processes = {
        name: _start(ws, command, logs / f"{name}.log")
        for name, command in _commands(ws, host, dagster_port, mlflow_port).items()
    }
    addresses = {DAGSTER: f"http://{host}:{dagster_port}", MLFLOW: f"http://{host}:{mlflow_port}"}
    remember_pages(ws, addresses)
    console.print(f"Dagster: {addresses[DAGSTER]}\nMLflow:  {addresses[MLFLOW]}\nCtrl-C ends both.")
    try:
        while all(process.poll() is None for process in processes.values()):
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        return
    finally:
        ended = [name for name, process in processes.items() if process.poll() is not None]
        _end(processes.values())
    raise UserError(f"{' and '.join(ended)} ended on its own.", f"Its log is in {logs}.")


def _end(processes: Collection[subprocess.Popen[bytes]]) -> None:
    """Ask every process to end, so that runs that it started save their state; kill those that do not."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + END_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _require_free(host: str, ports: Mapping[str, int]) -> None:
    for option, port in ports.items():
        try:
            socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        except OSError as error:
            hint = f"Name another: editloom ui {option} PORT"
            raise UserError(f"Nothing can listen on port {port} of {host}: {error.strerror}.", hint) from None


def _commands(ws: Workspace, host: str, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    scripts = Path(sys.executable).parent
    # With the daemon, which starts what the page, a sensor or a schedule asks for.
    dagster = [str(scripts / "dagster"), "dev", "-h", host, "-p", str(dagster_port)]
    dagster += [word for location in CODE_LOCATIONS for word in ("-m", location)]
    # One worker: its default of four takes a gigabyte, for one person's browser.
    mlflow = [str(scripts / "mlflow"), "server", "--host", host, "--port", str(mlflow_port), "--workers", "1"]
    mlflow += ["--backend-store-uri", ws.mlflow_uri, "--default-artifact-root", ws.mlflow_artifacts.as_uri()]
    return {"dagster": dagster, "mlflow": mlflow}


def _start(ws: Workspace, command: list[str], log: Path) -> subprocess.Popen[bytes]:
    own = {"EDITLOOM_WORKSPACE": str(ws.root), "DAGSTER_HOME": str(ws.dagster_home)}
    environment = {**os.environ, **own, **arithmetic.variables(ws.params())}
    with log.open("wb") as out:
        return subprocess.Popen(
            command, cwd=ws.root, env=environment, stdout=out, stderr=out, preexec_fn=_begin_session
        )


def _begin_session() -> None:
    """Ctrl-C reaches `editloom ui` alone, which ends the others; they hear it although a shell had it ignored."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
