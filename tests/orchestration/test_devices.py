"""A device has one holder at a time, whatever becomes of the holder. Real processes throughout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.devices import POLL_S

HOLD = """
import json, os, sys
from pathlib import Path
from orchestration.devices import lease_device
with lease_device(Path(sys.argv[1]), int(sys.argv[2])) as lease:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    print(json.dumps({"index": lease.index, "accelerator": lease.accelerator, "visible": visible}), flush=True)
    sys.stdin.read()
"""
# Each holder makes a file that must not be there: a second holder of the same device would find it.
CONTEND = """
import os, sys, time
from pathlib import Path
from orchestration.devices import lease_device
folder = Path(sys.argv[1])
for _ in range(6):
    with lease_device(folder, 2) as lease:
        mark = folder / f"held-{lease.index}"
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        time.sleep(0.02)
        mark.unlink()
"""
SETTLED_S = 4 * POLL_S

Holder = subprocess.Popen[str]
Hold = Callable[..., Holder]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Start a process that leases a device and keeps it until its input closes."""
    started: list[Holder] = []

    def start(count: int = 2, **environment: str) -> Holder:
        command = [sys.executable, "-c", HOLD, str(tmp_path), str(count)]
        known = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=known, text=True, **pipes))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(holder: Holder) -> dict[str, object]:
    """What a holder says once it holds a device; waits for it."""
    assert holder.stdout is not None
    return dict(json.loads(holder.stdout.readline()))


def still_waits(holder: Holder) -> bool:
    assert holder.stdout is not None
    os.set_blocking(holder.stdout.fileno(), False)
    time.sleep(SETTLED_S)
    waits = holder.stdout.read(1) in (None, "")
    os.set_blocking(holder.stdout.fileno(), True)
    return waits


def test_third_step_waits_for_one_of_two_devices(hold: Hold) -> None:
    first, second = hold(), hold()
    assert {said(first)["index"], said(second)["index"]} == {0, 1}
    third = hold()
    assert still_waits(third)
    first.communicate()
    assert said(third)["index"] in {0, 1}
    assert second.poll() is None


def test_killed_holder_leaves_its_device_free(hold: Hold) -> None:
    first = hold(1)
    assert said(first)["index"] == 0
    second = hold(1)
    assert still_waits(second)
    first.send_signal(signal.SIGKILL)
    assert said(second)["index"] == 0


def test_a_device_never_has_two_holders(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTEND, str(tmp_path)]
    holders = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [(holder.communicate(timeout=60)[1], holder.returncode) for holder in holders]
    assert ends == [("", 0)] * 4


def test_process_keeps_to_the_device_it_had(hold: Hold) -> None:
    """CUDA does not let a process change its device once it has begun."""
    assert said(hold(2, EDITLOOM_DEVICE="1"))["index"] == 1
    again = hold(2, EDITLOOM_DEVICE="1")
    assert still_waits(again)


def test_leased_card_is_the_only_one_that_is_seen(hold: Hold) -> None:
    first, second = hold(2, CUDA_VISIBLE_DEVICES="4,7"), hold(2, CUDA_VISIBLE_DEVICES="4,7")
    seen = {said(holder)["visible"] for holder in (first, second)}
    assert seen == {"4", "7"}


@pytest.mark.parametrize(("visible", "expected"), [("", "cpu"), ("-1", "cpu"), ("0", "cuda")])
def test_host_without_a_card_computes_on_its_processor(hold: Hold, visible: str, expected: str) -> None:
    assert said(hold(1, CUDA_VISIBLE_DEVICES=visible))["accelerator"] == expected
