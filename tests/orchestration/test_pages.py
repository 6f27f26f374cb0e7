"""`editloom ui` opens both pages, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.workspace import Workspace

STARTED_S, ENDED_S = 400.0, 90.0
Ui = Callable[[int, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def ui(workspace: Workspace, tmp_path: Path) -> Iterator[Ui]:
    """Start `editloom ui` on two ports, in a process group of its own that is ended at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(dagster_port: int, mlflow_port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestration.cli", "ui"]
        command += ["--dagster-port", str(dagster_port), "--mlflow-port", str(mlflow_port)]
        with (tmp_path / "ui.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_own_group))
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _own_group() -> None:
    """Ctrl-C is heard even where the shell that began the tests had it ignored."""
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def page(port: int, path: str, process: subprocess.Popen[bytes]) -> str:
    """What a page says, as soon as its server answers."""
    deadline = time.monotonic() + STARTED_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(URLError, ConnectionError, TimeoutError), urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return str(answer.read().decode())
        time.sleep(0.3)
    raise AssertionError(f"port {port} does not answer, editloom ui ended with {process.poll()}")


@pytest.mark.timeout(900)
def test_both_pages_open_on_loopback_and_ctrl_c_ends_both(ui: Ui, tmp_path: Path) -> None:
    dagster_port, mlflow_port = free_ports(2)
    process = ui(dagster_port, mlflow_port)
    assert "dagster" in page(dagster_port, "/server_info", process)
    assert page(mlflow_port, "/health", process) == "OK"
    process.send_signal(signal.SIGINT)
    assert process.wait(ENDED_S) == 0
    for port in (dagster_port, mlflow_port):
        with closing(socket.socket()) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))  # refused while a server still listens
    said = (tmp_path / "ui.log").read_text()
    assert f"http://127.0.0.1:{dagster_port}" in said and f"http://127.0.0.1:{mlflow_port}" in said


@pytest.mark.parametrize("option", ["--dagster-port", "--mlflow-port"])
def test_port_that_is_taken_is_told_before_anything_is_started(workspace: Workspace, option: str) -> None:
    other = "--mlflow-port" if option == "--dagster-port" else "--dagster-port"
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = int(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["ui", option, str(port), other, str(free_ports(1)[0])])
    assert result.exit_code == 2
    assert str(port) in result.output and f"editloom ui {option} PORT" in result.output
    assert not (workspace.state / "logs").exists()
