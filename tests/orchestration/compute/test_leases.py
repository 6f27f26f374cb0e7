"""A device has one holder at a time, whoever asks for how many, and nobody waits for ever. Real processes."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import UserError
from orchestration.compute.inventory import host_memory_gb, inventory
from orchestration.compute.leases import lease_devices
from orchestration.compute.processes import SILENT_S, Life
from orchestration.compute.tickets import MAX_OVERTAKEN, OVERTAKEN_PER_RANK, Queue, Ticket, grants
from orchestration.compute_sections import DeviceRequest
from orchestration.workspace import Workspace
from tests.orchestration.compute.device_log import most_holders, read_log
from tests.orchestration.compute.held_devices import LONG_S, Hold
from training.interruption import Interrupted

Devices = Callable[[int], Workspace]
Waiting = Callable[..., None]
SETTLED_S = 1.0
"""Four times as long as it takes to serve the queue, with nothing else to do."""


def ticket(name: str, devices: int = 1, **known: object) -> Ticket:
    """A ticket of this process; by default they come in the order of their names."""
    fields = {"memory_gb": 0.5, "priority": 0, "since": float(ord(name[0])), **known}
    return Ticket(name, name, "run", Life.of(os.getpid()), devices, **fields)  # type: ignore[arg-type]


def holders(changed: list[Ticket]) -> dict[str, tuple[int, ...]]:
    return {one.who: one.held for one in changed if one.held}


def test_sixteen_steps_on_four_devices_never_share_one(devices: Devices, hold: Hold, tmp_path: Path) -> None:
    devices(4)
    draw = random.Random(6)
    started = [hold(f"step-{n}", draw.choice((1, 1, 2)), seconds=draw.uniform(0.1, 0.4)) for n in range(16)]
    for holder in started:
        holder.release()
    log = read_log(tmp_path / "devices.log")
    assert len(log) == 16 and {index for held in log for index in held.devices} <= {0, 1, 2, 3}
    assert {len(held.devices) for held in log} == {1, 2}
    assert most_holders(log) == 1


def test_log_of_two_holders_of_a_device_is_noticed(tmp_path: Path) -> None:
    """The check above can fail."""
    rows = [("a", "ask", 0), ("a", "begin", 0), ("b", "ask", 1), ("b", "begin", 1), ("a", "end", 2), ("b", "end", 3)]
    lines = [f'{{"name": "{n}", "event": "{e}", "at": {at}, "devices": [0]}}' for n, e, at in rows]
    (tmp_path / "log").write_text("\n".join(lines))
    assert most_holders(read_log(tmp_path / "log")) == 2


def test_killed_holders_devices_go_to_who_waits(devices: Devices, hold: Hold, waiting: Waiting) -> None:
    devices(2)
    first = hold("first", 2)
    assert first.said()["indices"] == [0, 1]
    second = hold("second", 2)
    waiting("second")
    first.process.kill()
    killed = time.monotonic()
    assert second.said()["indices"] == [0, 1]
    assert time.monotonic() - killed < 15


def test_higher_priority_comes_first_and_equals_in_their_order(
    devices: Devices, hold: Hold, waiting: Waiting, tmp_path: Path
) -> None:
    devices(1)
    first = hold("first")
    first.said()
    later = []
    for name, priority, expected in (("low", 0, ("low",)), ("lower", 0, ("low", "lower")), ("high", 5, ("high",))):
        later.append(hold(name, 1, priority, seconds=0.05))
        waiting(*expected, *(("low", "lower") if name == "high" else ()))
    first.release()
    for holder in later:
        holder.release()
    assert [held.name for held in read_log(tmp_path / "devices.log")] == ["first", "high", "low", "lower"]


def test_two_device_step_is_not_starved_by_a_stream_of_small_ones(devices: Devices, hold: Hold, tmp_path: Path) -> None:
    devices(2)
    small = [hold(f"small-{n}", times=10_000, seconds=0.1 + 0.03 * n) for n in range(3)]
    for one in small:
        one.said()
    hold("big", 2, seconds=0.05).release()
    log = read_log(tmp_path / "devices.log")
    big = next(held for held in log if held.name == "big")
    deadline = time.monotonic() + LONG_S
    while log[-1].begin <= big.begin:
        assert time.monotonic() < deadline, "the stream ended before: nothing was shown"
        log = read_log(tmp_path / "devices.log")
    overtook = [held for held in log if held.asked > big.asked and held.begin < big.begin]
    assert len(overtook) <= MAX_OVERTAKEN
    assert most_holders(log) == 1


def test_low_priority_is_not_starved_by_a_stream_of_high_ones() -> None:
    low = ticket("a", priority=0)
    for turn in range(OVERTAKEN_PER_RANK + 1):
        served = grants([low, ticket(f"z{turn}", priority=1)], devices=1, memory_gb=None)
        if "a" in holders(served):
            break
        low = next(one for one in served if one.who == "a")
    assert turn == OVERTAKEN_PER_RANK


def test_small_step_takes_what_a_large_one_cannot_use() -> None:
    tickets = [ticket("a", held=(0,)), ticket("b", 2), ticket("c")]
    assert holders(grants(tickets, devices=2, memory_gb=None)) == {"c": (1,)}


def test_devices_are_kept_for_one_that_was_overtaken_often() -> None:
    tickets = [ticket("a", held=(0,)), ticket("b", 2, overtaken=MAX_OVERTAKEN), ticket("c")]
    assert grants(tickets, devices=2, memory_gb=None) == []
    assert holders(grants(tickets, devices=3, memory_gb=None)) == {"b": (1, 2)}


def test_devices_kept_for_a_pinned_step_are_only_those_it_needs() -> None:
    tickets = [ticket("a", held=(0,)), ticket("b", pinned=0, overtaken=MAX_OVERTAKEN), ticket("c")]
    assert holders(grants(tickets, devices=2, memory_gb=None)) == {"c": (1,)}


def test_memory_is_shared_out_once() -> None:
    tickets = [ticket("a", memory_gb=5.0), ticket("b", memory_gb=4.0), ticket("c", memory_gb=3.0)]
    assert holders(grants(tickets, devices=4, memory_gb=8.0)) == {"a": (0,), "c": (1,)}


def test_process_keeps_to_the_device_it_had(devices: Devices, hold: Hold, waiting: Waiting) -> None:
    """CUDA does not let a process change its device once it has begun; a request for more includes it, first."""
    devices(3)
    other = hold("other")
    assert other.said()["indices"] == [0]
    assert hold("pinned", 2, EDITLOOM_DEVICE="2").said()["indices"] == [2, 1]
    hold("again", EDITLOOM_DEVICE="2")
    other.release()
    waiting("again")
    time.sleep(SETTLED_S)
    waiting("again")


def test_leased_cards_are_the_only_ones_that_are_seen(devices: Devices, hold: Hold) -> None:
    devices(8)
    first = hold("first", CUDA_VISIBLE_DEVICES="4,7,9").said()
    second = hold("second", 2, CUDA_VISIBLE_DEVICES="4,7,9").said()
    assert (first["CUDA_VISIBLE_DEVICES"], first["EDITLOOM_VISIBLE_DEVICES"], first["cards"]) == ("4", "0", ["4"])
    assert (second["CUDA_VISIBLE_DEVICES"], second["EDITLOOM_VISIBLE_DEVICES"]) == ("7,9", "1,2")
    assert first["accelerator"] == second["accelerator"] == "cuda"


def test_cards_are_never_shared_however_many_devices_are_named(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = devices(8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert len(inventory(ws.params()).devices) == 2


@pytest.mark.parametrize("visible", ["", "-1"])
def test_host_without_a_card_computes_on_its_processor(devices: Devices, hold: Hold, visible: str) -> None:
    devices(1)
    said = hold(CUDA_VISIBLE_DEVICES=visible).said()
    assert (said["accelerator"], said["cards"], said["EDITLOOM_VISIBLE_DEVICES"]) == ("cpu", [], "0")


def test_more_devices_than_there_are_names_the_key(devices: Devices) -> None:
    with (
        pytest.raises(UserError, match=r"compute\.requests\.edit_pairs\.devices.*3 devices; there are 2") as told,
        lease_devices(devices(2), DeviceRequest(devices=3), "edit_pairs[beard]", "run"),
    ):
        pass
    assert "compute.devices (now 2)" in told.value.hint


def test_more_memory_than_there_is_names_the_key(devices: Devices) -> None:
    request = DeviceRequest(memory_gb=host_memory_gb() + 1)
    with (
        pytest.raises(UserError, match=r"compute\.memory_gb: judges asks for"),
        lease_devices(devices(2), request, "judges", "run"),
    ):
        pass


def test_cuda_that_is_not_there_names_the_key(
    workspace: Workspace, change_params: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_params(workspace, {"compute.accelerator": "cuda"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert inventory(workspace.params()).devices == ()
    with (
        pytest.raises(UserError, match=r"compute\.accelerator is cuda"),
        lease_devices(workspace, DeviceRequest(), "judges", "run"),
    ):
        pass


def test_step_that_waits_can_be_stopped_and_leaves_the_line(devices: Devices) -> None:
    ws, told = devices(1), list[str]()
    queue = Queue.of(ws, inventory(ws.params()))
    with lease_devices(ws, DeviceRequest(), "first", "run"):
        asked = lease_devices(ws, DeviceRequest(), "second", "run", should_stop=lambda: bool(told), on_wait=told.append)
        with pytest.raises(Interrupted, match="second"), asked:
            pass
        assert [one.who for one in queue.tickets()] == ["first"]
    assert told == ["for a device"]
    assert queue.tickets() == []


def test_another_machines_holder_is_believed_while_its_heart_beats(devices: Devices) -> None:
    """Over a shared disk its process cannot be seen: only the age of its ticket tells."""
    ws = devices(1)
    queue = Queue.of(ws, inventory(ws.params()))
    theirs = queue.enter(DeviceRequest(), "theirs", "run", None)
    elsewhere = replace(queue.tickets()[0], life=Life(1, 0.0, "elsewhere", "elsewhere"))
    queue._write(elsewhere)
    queue.enter(DeviceRequest(), "ours", "run", None)
    assert {one.who: one.held for one in queue.tickets()} == {"theirs": (0,), "ours": ()}
    long_ago = time.time() - SILENT_S - 1
    os.utime(queue.path(theirs.name), (long_ago, long_ago))
    assert [dead.who for dead in queue.serve(at_once=True)] == ["theirs"]
    assert {one.who: one.held for one in queue.tickets()} == {"ours": (0,)}


def test_number_of_a_dead_process_that_was_given_again_is_no_life(tmp_path: Path) -> None:
    now = Life.of(os.getpid())
    assert now.alive(0.0)
    assert not replace(now, born=now.born - 60).alive(0.0)
    ended = subprocess.Popen(["true"])
    ended_life = replace(now, pid=ended.pid)
    ended.wait(LONG_S)
    assert not ended_life.alive(0.0)
