"""Bulk steps on a real Ray cluster with a token: the same bytes, after a kill too, and nothing left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.graph import AssetId
from orchestration.remote.place import open_place
from orchestration.store import ledger
from orchestration.workspace import Workspace
from tests.orchestration.compute.device_log import most_holders
from tests.orchestration.ray_cluster.held import held_on
from tests.orchestration.ray_cluster.local_cluster import LocalCluster
from tests.orchestration.ray_cluster.running import change_settings, run, started

# What its fixtures start is dear: one worker of the test session takes them all.
pytestmark = pytest.mark.xdist_group("ray")

NETWORK = AssetId("original_network")
WAIT_S = 240.0
CONNECT = "from orchestration.ray_cluster.cluster import connect; import sys; connect(sys.argv[1])"
LARGE = """
import sys, time
from orchestration.ray_cluster.cluster import Asked, Room, connect
connect(sys.argv[1])
room = Room(Asked(gpus=3, cpus=1, memory_bytes=0), wait_s=1.0)
while True:
    room.check()
    time.sleep(0.1)
"""


def remotely(cluster: LocalCluster) -> list[str]:
    return ["--select", "original_network", "--always", "--executor", "ray", "--address", cluster.address]


def version(ws: Workspace) -> str:
    entry = ledger.last_entry(ws.root, NETWORK.asset)
    assert entry is not None
    return entry.materialization.data_version


def ran(ws: Workspace) -> list[dict[str, Any]]:
    """Who worked on the step, as its evidence says."""
    path = ws.root / NETWORK.evidence_path / "ray.json"
    return list(json.loads(path.read_text())["ran"]) if path.exists() else []


def left_in_store(ws: Workspace) -> list[str]:
    place = open_place(ws.root)
    return [path for path in place.files.find(f"{place.root.rstrip('/')}/editloom/ray")]


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def kept(ws: Workspace) -> bool:
    """Whether the head has heard that a checkpoint is in the store."""
    try:
        return any(one["checkpoint"] >= 1 for one in ran(ws))
    except ValueError:  # read while it was written
        return False


def test_step_on_a_node_makes_the_bytes_of_one_here(cluster: LocalCluster, on_s3: Workspace) -> None:
    """The node reaches the store, which is S3, and nothing of the head's disk."""
    here = version(on_s3)
    before = len(ledger.entries(on_s3.root))
    done = run(on_s3.root, *remotely(cluster), **cluster.token)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(ledger.entries(on_s3.root)) > before, "it was made again"
    assert version(on_s3) == here
    (only,) = ran(on_s3)
    assert (only["devices"], only["resumed"]) == (["0"], 0)
    assert not left_in_store(on_s3), "what travelled goes once it is published"
    node = cluster.nodes[1]
    assert not node.busy
    assert not [path for path in node.folder.rglob("*.json") if path.is_file() and str(on_s3.root) in path.read_text()]


def test_virtual_gpu_never_has_two_holders(cluster: LocalCluster, own: Workspace, tmp_path: Path) -> None:
    """Sixteen tasks of one and two GPUs; what they held they wrote down themselves."""
    jobs = [(2 if number % 3 == 0 else 1, 0.3) for number in range(16)]
    held = held_on(cluster, own, jobs, tmp_path)
    assert sorted(len(one.devices) for one in held) == sorted(devices for devices, _ in jobs)
    assert most_holders(held) == 1


def test_step_of_two_devices_trains_on_both_and_makes_the_bytes_of_two_here(
    cluster: LocalCluster, own: Workspace
) -> None:
    change_settings(own, {"compute.devices": 2, "compute.requests.original_network.devices": 2})
    one, chosen = version(own), ("--select", "original_network", "--always")
    done = run(own.root, *chosen)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    here = version(own)
    assert here != one, "two devices round otherwise"
    done = run(own.root, *remotely(cluster), **cluster.token)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (only,) = ran(own)
    assert only["devices"] == ["0", "1"]
    assert version(own) == here


def test_killed_nodes_step_goes_on_from_its_checkpoint_on_another(cluster: LocalCluster, own: Workspace) -> None:
    here = version(own)
    with started(own.root, *remotely(cluster), **cluster.token) as process:
        until(lambda: kept(own), process)
        (dead,) = [node for node in cluster.nodes if node.busy]
        dead.kill()
        cluster.nodes.remove(dead)
        cluster.add("second", 2)
        said = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, said
    first, second = ran(own)
    assert first["node"] != second["node"]
    assert second["resumed"] >= 1, "it began anew"
    assert version(own) == here


def test_stopped_run_has_saved_what_its_node_did(cluster: LocalCluster, own: Workspace) -> None:
    """Ctrl-C at the head: the node leaves, its last state is in the store, and the payload is the old one."""
    here = version(own)
    with started(own.root, *remotely(cluster), **cluster.token) as process:
        until(lambda: kept(own), process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=WAIT_S)
        assert process.returncode == 130, said
    assert not any(node.busy for node in cluster.nodes)
    assert version(own) == here
    assert any("/checkpoint-" in path for path in left_in_store(own))


def test_step_that_no_node_can_hold_is_told_within_its_wait(cluster: LocalCluster) -> None:
    command = [sys.executable, "-c", LARGE, cluster.address]
    done = subprocess.run(command, env=_with(cluster.token), capture_output=True, text=True, timeout=WAIT_S)
    assert "UserError" in done.stderr and "asks for 3 GPUs" in done.stderr
    assert "2 GPUs" in done.stderr, "what the nodes have"


def test_cluster_lets_nobody_in_without_its_token(cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ab" * 32)
    wrong = {**cluster.token, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    for environment, says in ((wrong, "wrong token"), ({"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}, "token")):
        environment = {**environment, "RAY_NUM_REDIS_GET_RETRIES": "3"}  # Ray asks twenty times, once a second
        command = [sys.executable, "-c", CONNECT, cluster.address]
        done = subprocess.run(command, env=_with(environment), capture_output=True, text=True)
        assert "UserError" in done.stderr and says in done.stderr, done.stderr[-2000:]


def _with(environment: dict[str, str]) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("RAY_")}, **environment}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_address_where_nobody_answers(own: Workspace, address: str) -> None:
    done = run(own.root, "--select", "original_network", "--always", "--executor", "ray", "--address", address)
    assert done.returncode == 2
    assert f"No Ray cluster answers at {address}" in done.stdout + done.stderr
