"""Jobs sent to a cluster, and what they wrote down of the devices they held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.workspace import Workspace
from tests.orchestration.compute.device_log import Held, read_log
from tests.orchestration.ray_cluster.local_cluster import LocalCluster

SCRIPT = Path(__file__).with_name("ray_jobs.py")


def held_on(cluster: LocalCluster, ws: Workspace, jobs: Sequence[tuple[int, float]], folder: Path) -> list[Held]:
    """Send jobs of (devices, seconds) at once, wait for all, and read their log."""
    wanted, log = folder / "jobs.json", folder / "devices.log"
    wanted.write_text(json.dumps(jobs))
    command = [sys.executable, str(SCRIPT), cluster.address, str(ws.root), str(wanted), str(log)]
    path = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    known = {**os.environ, **cluster.token, "PYTHONPATH": path}
    done = subprocess.run(command, env=known, cwd=ws.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return read_log(log)
