"""One cluster for the tests of this room, a store, and a workspace whose original network was trained without Ray."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from orchestration.store import dvc
from orchestration.workspace import Workspace
from tests.orchestration.ray_cluster.local_cluster import LocalCluster
from tests.orchestration.ray_cluster.running import change_settings, run

BUCKET = "nodes"
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
SMALL = {
    "images.renderer.count": 60,
    "original_network.kimg": 0.4,
    "original_network.snapshot_kimg": 0.2,
    "original_network.checkpoint_every_s": 0.0,
    "compute.memory_gb": 1.0,
    "compute.ray.wait_s": 5.0,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A head and a node with two virtual GPUs."""
    made = LocalCluster()
    try:
        made.start()
        made.add("first", 2, **AWS)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def trained(empty_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small workspace up to the original network, built on this machine alone; never change it."""
    root = tmp_path_factory.mktemp("trained") / "workspace"
    shutil.copytree(empty_workspace, root, symlinks=True)
    change_settings(Workspace.at(root), SMALL)
    done = run(root, "--select", "images,aligned_images,original_network")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Workspace:
    """A copy of the trained workspace."""
    return Workspace.at(shutil.copytree(trained, tmp_path / "workspace", symlinks=True))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3-compatible server with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    urlopen(Request(f"{address}/{BUCKET}", method="PUT"))
    yield address
    server.stop()


@pytest.fixture
def on_s3(own: Workspace, s3: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The copy with S3 for a store: it shares no disk with a node."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    dvc.run_dvc(own.root, "remote", "add", "-d", "store", f"s3://{BUCKET}/faces")
    dvc.run_dvc(own.root, "remote", "modify", "store", "endpointurl", s3)
    return own
