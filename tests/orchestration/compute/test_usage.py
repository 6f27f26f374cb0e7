"""What the making of a payload used: measured over processes and attempts, and never at the step's expense."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from orchestration.compute import meter as metering
from orchestration.compute.meter import PREFIX, Counter, Holding, Meter, holding_of
from orchestration.compute.readings import TreeReading, own_peak_mb, read_host, read_tree, visible_gpus
from orchestration.compute.usage import USAGE_FILE, Usage, read_usage, write_usage
from orchestration.workspace import Workspace
from training.progress import Progress

Logged = list[tuple[Mapping[str, float], int, int]]
MB = 1_000_000


HOLD_200_MB = "import time, numpy as np; held = np.ones(25_000_000); print('ready', flush=True); time.sleep(600)"


def burn(cpu_s: float) -> None:
    began = time.process_time()
    while time.process_time() - began < cpu_s:
        pass


def test_device_seconds_are_seconds_times_devices(tmp_path: Path) -> None:
    with Meter(tmp_path, Holding(3, False, 3)) as meter:
        time.sleep(0.05)
    used = meter.usage
    assert used.attempts == 1 and used.seconds >= 0.05
    assert used.device_seconds == pytest.approx(3 * used.seconds)
    assert used.facts["device_seconds"] == round(used.device_seconds, 1)


def test_utilisation_is_cpu_time_over_threads_held(tmp_path: Path) -> None:
    with Meter(tmp_path, Holding(1, False, 2)) as meter:
        burn(0.4)
    used = meter.usage
    # Accounting ticks are 10 ms; reading and starting the thread cost a little themselves.
    assert 0.38 <= used.busy_s <= 1.0
    assert used.facts["utilisation"] == pytest.approx(used.busy_s / (2 * used.seconds), abs=0.001)


def test_memory_and_cpu_of_child_processes_count(tmp_path: Path) -> None:
    alone = read_tree(psutil.Process()).memory_mb
    with Meter(tmp_path, Holding(0, False, 1)) as meter:
        child = subprocess.Popen([sys.executable, "-c", HOLD_200_MB], stdout=subprocess.PIPE, text=True)
        with child:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            used = meter.stop()
            child.kill()
    assert used.peak_memory_mb > alone + 180
    assert used.busy_s > 0.01  # a new interpreter that loads NumPy


def test_memory_that_came_and_went_between_two_readings_is_in_the_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "SAMPLE_EVERY_S", 60.0)
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux remembers a process's peak")
    held = np.ones(600 * MB // 8)  # an earlier step's, which is none of this one's
    highest = own_peak_mb()
    del held
    with Meter(tmp_path, Holding(0, False, 1)) as meter:
        held = np.ones(300 * MB // 8)
        del held
        now = psutil.Process().memory_info().rss / MB
    assert now + 250 < own_peak_mb() < highest - 150
    assert meter.usage.peak_memory_mb >= own_peak_mb()


def test_attempts_add_up_and_a_killed_one_counts_up_to_its_last_record(tmp_path: Path) -> None:
    killed = Usage(1, seconds=7.0, device_seconds=14.0, held_s=14.0, busy_s=7.0, peak_memory_mb=9e5, counted=70,
                   counted_s=7.0, unit="images")  # fmt: skip
    write_usage(tmp_path, killed)
    with Meter(tmp_path, Holding(2, False, 2)) as meter:
        report = meter.through(lambda progress: None)
        report(Progress(70, 200, "images", 10.0, 13.0))
        time.sleep(0.2)
        report(Progress(100, 200, "images", 10.0, 10.0))
    used = meter.usage
    assert used.attempts == 2 and used.seconds > 7.2 and used.device_seconds == pytest.approx(2 * used.seconds)
    assert used.counted == 100  # 30 of this attempt: those before the resumption are the other attempt's
    assert used.peak_memory_mb == 9e5


def test_failed_attempt_leaves_its_record_and_a_running_one_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "SAMPLE_EVERY_S", 0.01)
    monkeypatch.setattr(metering, "WRITE_EVERY_S", 0.0)
    with pytest.raises(RuntimeError), Meter(tmp_path, Holding(1, False, 1)):
        deadline = time.monotonic() + 60
        while not (tmp_path / USAGE_FILE).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while_running = read_usage(tmp_path)
        raise RuntimeError("the build failed")
    assert read_usage(tmp_path).seconds >= while_running.seconds > 0
    assert read_usage(tmp_path).attempts == 1


def test_images_are_counted_whatever_else_is(tmp_path: Path) -> None:
    counter = Counter()
    counter.seen(Progress(16, 64, "images", 99.0, 1.0))
    time.sleep(0.15)
    counter.seen(Progress(48, 64, "images", 99.0, 1.0))
    counter.seen(Progress(1, 2, "snapshots", 1.0, 1.0))
    counter.seen(Progress(8, 32, "images", 99.0, 1.0))  # another training begins: nothing was made between the two
    count, seconds, unit = counter.sums
    assert (count, unit) == (32, "images") and 0.15 <= seconds < 60
    assert Usage(counted=count, counted_s=seconds, unit=unit).facts["images_per_s"] <= 32 / 0.15


def test_single_report_counts_by_the_rate_it_told() -> None:
    counter = Counter()
    counter.seen(Progress(64, 64, "images", 12.4, 0.0))
    count, seconds, unit = counter.sums
    assert count / seconds == 12 and unit == "images"


def test_nothing_counted_is_no_rate_at_all() -> None:
    assert not any(name.endswith("_per_s") for name in Usage(1, 5.0).facts)


def test_system_metrics_have_mlflows_own_names_and_their_time(tmp_path: Path) -> None:
    logged: Logged = []
    with Meter(tmp_path, Holding(0, False, 1), lambda *told: logged.append(told)):
        before_ms = int(time.time() * 1000)
    ((metrics, step, at_ms),) = logged
    assert {PREFIX + name for name in read_host()} < metrics.keys()
    assert PREFIX + "system_memory_usage_megabytes" in metrics and step == 0 and at_ms >= before_ms


def test_tracking_that_fails_fails_no_step(tmp_path: Path) -> None:
    def away(*told: object) -> None:
        raise ConnectionError("the server is away")

    with Meter(tmp_path, Holding(1, False, 1), away) as meter:
        time.sleep(0.01)
    assert meter.usage.seconds > 0


def test_reading_that_fails_fails_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "SAMPLE_EVERY_S", 0.01)
    with Meter(tmp_path, Holding(1, False, 1)) as meter:
        monkeypatch.setattr(metering, "read_tree", lambda process: 1 / 0)
        time.sleep(0.1)
    assert meter.usage.seconds >= 0.1 and meter.usage.device_seconds == pytest.approx(meter.usage.seconds)


def test_slow_readings_are_taken_so_seldom_that_they_cost_a_hundredth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []

    def slow(process: psutil.Process) -> TreeReading:
        burn(0.02)
        taken.append(time.monotonic())
        return TreeReading(0.0, 0.0)

    monkeypatch.setattr(metering, "SAMPLE_EVERY_S", 0.001)
    monkeypatch.setattr(metering, "read_tree", slow)
    with Meter(tmp_path, Holding(0, False, 1)):
        time.sleep(1.0)
    # One at the begin, one after a millisecond, the next only 2 s later; one at the end.
    assert len(taken) == 3


def test_record_that_cannot_be_read_or_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / USAGE_FILE).write_text('{"seconds": 3')
    assert read_usage(tmp_path) == Usage()
    (tmp_path / USAGE_FILE).write_text(json.dumps({"seconds": 3.0, "of": "a later version"}))
    assert read_usage(tmp_path).seconds == 3.0
    write_usage(tmp_path / "gone", Usage(1))
    assert not (tmp_path / "gone").exists()


def test_step_holds_what_params_say(workspace: Workspace, change_params: Callable[..., None]) -> None:
    change_params(
        workspace, {"compute.threads_per_device": 3, "compute.requests": {"original_network": {"devices": 2}}}
    )
    params = workspace.params()
    assert holding_of(params, "original_network", "cpu") == Holding(2, False, 6)
    assert holding_of(params, "attribute_editor", "cuda") == Holding(1, True, 3)
    assert holding_of(params, "images", "cpu") == Holding(0, False, params.compute.processes)


def test_gpus_are_those_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(2) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8f0c")
    assert visible_gpus(4) == ["3", "GPU-8f0c"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus(4) == []


def test_published_step_shows_its_cost_on_both_pages(finished: Workspace) -> None:
    facts = json.loads((finished.evidence("original_network") / "facts.json").read_text())
    assert facts["device_seconds"] == facts["seconds"] > 0 and facts["attempts"] == 1
    assert facts["peak_memory_mb"] > 100 and 0 < facts["utilisation"] < 4 and facts["images_per_s"] > 0
    light = json.loads((finished.evidence("images") / "facts.json").read_text())
    assert light["device_seconds"] == 0 and light["images_per_s"] > 0
    assert not list(finished.workdir("original_network").rglob(USAGE_FILE))
