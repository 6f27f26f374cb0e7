"""`editloom devices` shows who holds what, since when, and what waits."""

from __future__ import annotations

import json
from collections.abc import Callable

from orchestration.workspace import Workspace
from tests.conftest import Editloom
from tests.orchestration.compute.held_devices import Hold


def test_shows_holders_and_the_line(
    devices: Callable[[int], Workspace], hold: Hold, waiting: Callable[..., None], editloom: Editloom
) -> None:
    ws = devices(2)
    first = hold("edit_pairs[beard]")
    first.said()
    hold("judges", 2, 7)
    waiting("judges")
    document = json.loads(editloom(ws, "devices", "--json", CUDA_VISIBLE_DEVICES="").stdout)
    held, free = document["devices"]
    assert held["name"].startswith("virtual") and free["holder"] is None
    assert (held["holder"]["asset"], held["holder"]["pid"], held["holder"]["held"]) == (
        "edit_pairs[beard]",
        first.process.pid,
        [0],
    )
    assert held["holder"]["heartbeat_s"] < 60 and held["holder"]["since"].endswith("+00:00")
    (waits,) = document["waiting"]
    assert (waits["asset"], waits["devices"], waits["priority"], waits["overtaken"]) == ("judges", 2, 7, 0)
    shown = editloom(ws, "devices", CUDA_VISIBLE_DEVICES="").stdout
    assert "edit_pairs[beard]" in shown and "free" in shown and "2 × device" in shown


def test_nothing_held_and_nothing_left_behind(workspace: Workspace, editloom: Editloom) -> None:
    done = editloom(workspace, "devices", "--reap", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert "Nothing was left behind." in done.stdout and "Nothing waits." in done.stdout


def test_settings_that_cannot_be_are_told(
    workspace: Workspace, editloom: Editloom, change_params: Callable[..., None]
) -> None:
    change_params(workspace, {"compute.devices": 0})
    done = editloom(workspace, "devices")
    assert done.returncode == 2 and "compute.devices" in done.stderr
