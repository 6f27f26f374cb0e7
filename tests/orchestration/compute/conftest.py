"""Processes that hold devices."""

from tests.orchestration.compute.held_devices import (  # noqa: F401 – fixtures
    arrive_fixture,
    begin_fixture,
    devices_fixture,
    hold_fixture,
    waiting_fixture,
)
