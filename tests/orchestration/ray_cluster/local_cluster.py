"""A real Ray cluster on this machine, asking for a token: nodes that are processes of their own, and can be killed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RAY = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats"]
SIZES = ["--num-cpus=8", "--memory=64000000000", "--object-store-memory=100000000"]
STARTED, START_S, TRIES = "block forever", 90.0, 5


@dataclass
class Node:
    """A node: its processes, and the folder where it keeps what steps need. `own` is its share of the environment."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def busy(self) -> bool:
        """Whether a step is at work here."""
        return any(path.is_dir() for path in (self.folder / "own" / "tasks").glob("*"))

    def kill(self) -> None:
        """As a power cut does: every process of the node at once, and it is not told."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            for one in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        self.process.wait()


@dataclass
class LocalCluster:
    """`start()` makes the head, which has no GPUs; `stop()` ends all. Ray's sockets want a short path."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ray-")))
    nodes: list[Node] = field(default_factory=list)
    address: str = ""

    @property
    def token(self) -> dict[str, str]:
        """The environment that lets a process in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token")}

    def start(self) -> LocalCluster:
        """Start the head."""
        (self.folder / "token").write_text(secrets.token_hex(32))
        node = self._begin("head", ["--head", "--port=0", "--num-gpus=0", "--include-dashboard=false"], {})
        said = (node.folder / "log").read_text()
        self.address = said.split("--address='", 1)[1].split("'", 1)[0]
        return self

    def add(self, name: str, gpus: int, **environment: str) -> Node:
        """Start a node with so many GPUs, which need not be there, and a folder of its own."""
        return self._begin(name, [f"--address={self.address}", f"--num-gpus={gpus}"], environment)

    def stop(self) -> None:
        """End every node and remove what they left."""
        for node in reversed(self.nodes):
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> Node:
        """Start a node, again where the machine was too busy: Ray gives its agents no more than fifteen seconds."""
        for attempt in range(TRIES):
            node = self._process(f"{name}{attempt or ''}", arguments, environment)
            if _runs(node):
                self.nodes.append(node)
                return node
            node.kill()
        raise AssertionError(f"no node of Ray comes up:\n{(node.folder / 'log').read_text()[-3000:]}")

    def _process(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> Node:
        folder = self.folder / name
        folder.mkdir()
        known = {**os.environ, **self.token, "EDITLOOM_NODE_DIR": str(folder / "own"), **environment}
        for secret in ("EDITLOOM_WORKSPACE", "DAGSTER_HOME"):
            known.pop(secret, None)
        command = [*RAY, *SIZES, f"--temp-dir={folder / 'ray'}", *arguments]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=known, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        _hurry(process)
        return Node(folder, process)


def _runs(node: Node) -> bool:
    until = time.monotonic() + START_S
    while time.monotonic() < until and node.process.poll() is None:
        said = (node.folder / "log").read_text()
        if STARTED in said:
            return True
        if "Exception" in said or "terminated" in said:
            return False
        time.sleep(0.2)
    return False


def _hurry(process: subprocess.Popen[bytes]) -> None:
    """Where it is allowed, the scheduler prefers the node's session: its agents have to be there in time."""
    with suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text("-10")
