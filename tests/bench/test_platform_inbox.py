"""A drop of 200 photographs under Dagster's real daemon: one run, one quarantine row, only what depends on it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from data.landmarks import dlib_detector
from data.manifest import SplitFractions, read_manifest
from data.png import decode_png
from data.quarantine import read_quarantine
from data.rendered import RenderedConfig, render_images
from data.shards import iter_payloads
from orchestration.automation import batches
from orchestration.automation.graph_run import JOB
from orchestration.graph import AssetId, downstream
from orchestration.results import Bar, Figure
from orchestration.run_record import read_run_records
from orchestration.store import ledger
from orchestration.workspace import VARIABLE, Workspace

FIRST, DROPPED = 60, 200
OF = AssetId("attribute_images", "beard")
PATIENCE_S = 900.0
"""Far above what it takes: a bound for a machine with other work."""
QUIET_S = 20.0
"""So long nothing may happen after the drop is repeated: the sensor looks every other second."""
WATCHED = {"enabled": True, "path": "inbox", "attribute": "beard", "debounce_s": 2, "threshold": 100, "interval_s": 2}


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    """Rendered faces as photographs, each of a person of its own, in each of which a face is found."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        wanted = FIRST + DROPPED - 1
        config = RenderedConfig(count=2 * wanted, size_px=160, images_per_subject=1, first_subject=70_000_000)
        render_images(config, Path(scratch), SplitFractions(test=0.1, validation=0.05))
        pngs = iter_payloads(Path(scratch), read_manifest(Path(scratch)))
        found = [png for png in pngs if dlib_detector().detect(decode_png(png))]
    assert len(found) >= wanted
    return found[:wanted]


@pytest.fixture(scope="module")
def built(photographs: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which everything is made, its beards from a folder of photographs."""
    ws = Workspace.new(tmp_path_factory.mktemp("inbox") / "workspace", "smoke")
    document = yaml.safe_load(ws.params_file.read_text())
    own = {"path": "bearded", "consent_default": "granted", "attested_by": "A. Person"}
    document["attributes"] = {"beard": {"attribute_images": own}, "short_hair": {}}
    document["aligned_images"]["detector"] = "dlib"
    document["automation"]["inbox"] = WATCHED
    ws.params_file.write_text(yaml.safe_dump(document, sort_keys=False))
    put(ws.root / "bearded", photographs[:FIRST])
    (ws.root / "inbox").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run"],
        cwd=ws.root,
        env=environment(ws),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return ws


@pytest.fixture
def daemon(built: Workspace) -> Iterator[Workspace]:
    """`editloom ui`: the pages, and the daemon that evaluates the sensor and starts its runs."""
    ports = ["--dagster-port", str(free_port()), "--mlflow-port", str(free_port())]
    with (built.root / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "ui", *ports], cwd=built.root, env=environment(built),
            stdout=log, stderr=log, preexec_fn=heard,
        )  # fmt: skip
    yield built
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)


def heard() -> None:
    """Ctrl-C is heard even where the shell that began the tests had it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(ws: Workspace) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, VARIABLE: str(ws.root), "PATH": path}


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return int(one.getsockname()[1])


def put(folder: Path, pngs: list[bytes], prefix: str = "") -> None:
    folder.mkdir(exist_ok=True)
    for number, png in enumerate(pngs):
        (folder / f"{prefix}{number:03d}.png").write_bytes(png)


def asked(ws: Workspace) -> list[str]:
    """How the runs that sensors asked for stand."""
    import dagster as dg

    with ws.dagster_instance() as instance:
        return [run.status.value for run in instance.get_runs(dg.RunsFilter(job_name=JOB))]


def wait(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.5)


@pytest.mark.bench
def test_drop_of_two_hundred_photographs(
    daemon: Workspace, photographs: list[bytes], platform_measured: Callable[..., None]
) -> None:
    head, runs = len(ledger.entries(daemon.root)), len(read_run_records(daemon))
    fresh = photographs[FIRST:]
    put(daemon.root / "inbox", fresh)
    (daemon.root / "inbox" / "cut-off.png").write_bytes(fresh[0][: len(fresh[0]) // 2])
    dropped = time.monotonic()
    wait(lambda: bool(asked(daemon)), "a run was asked for")
    noticed_s = time.monotonic() - dropped
    wait(lambda: all(status in {"SUCCESS", "FAILURE", "CANCELED"} for status in asked(daemon)), "the run ended")
    ended_s = time.monotonic() - dropped
    started = asked(daemon)
    made = {e.subject for e in ledger.entries(daemon.root, kind=ledger.MATERIALIZATION) if e.seq > head}
    expected = {str(AssetId(name, "beard")) for name in (OF.asset, *downstream(OF.asset))}
    put(daemon.root / "inbox", fresh, prefix="again-")
    put(daemon.root / "inbox", fresh)
    time.sleep(QUIET_S)
    refused = read_quarantine(daemon.root / OF.path)
    (batch,) = batches.records(daemon.root)
    one, none = Bar(at_least=1, at_most=1), Bar(at_most=0)
    wrong, again = made ^ expected, len(asked(daemon)) - len(started)
    platform_measured(
        Figure("inbox, 200 photographs: runs started", len(started), "runs", bar=one),
        Figure("inbox: quarantine rows of the broken photograph", len(refused), "rows", bar=one),
        Figure("inbox: assets rebuilt", len(made), "assets", note=", ".join(sorted(made))),
        Figure("inbox: assets rebuilt in error, or left out", len(wrong), "assets", bar=none),
        Figure("inbox: the same drop again, runs started", again, "runs", bar=none),
        Figure("inbox: from the drop to its run", noticed_s, "s", note="the daemon still starts; debounce 2 s"),
        Figure("inbox: from the drop to the release", ended_s, "s", note="smoke preset, one attribute"),
    )
    assert started == ["SUCCESS"] and len(read_run_records(daemon)) == runs + 1
    assert list(refused["source"]) == [f"{batch.name}/cut-off.png"] and list(refused["reason"]) == ["truncated"]
