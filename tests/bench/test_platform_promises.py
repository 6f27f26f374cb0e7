"""What the platform promises and no other measurement counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.promises import ROOM, Promise, counted

PROMISES = (
    Promise(
        "steps of a killed Ray node that go on from their checkpoint on another, with equal bytes",
        f"{ROOM}/ray_cluster/test_ray_steps.py",
        ("killed_nodes_step_goes_on_from_its_checkpoint_on_another",),
    ),
    Promise(
        "steps on a Ray node without a shared disk that make the bytes of one here",
        f"{ROOM}/ray_cluster/test_ray_steps.py",
        ("step_on_a_node_makes_the_bytes_of_one_here",),
    ),
    Promise(
        "second runs in one workspace that say who holds it, and wait",
        f"{ROOM}/test_run.py",
        ("second_run_at_once_says_who_holds_the_workspace_and_waits",),
    ),
)


@pytest.mark.bench
@pytest.mark.timeout(3000)
def test_promises_of_the_platform(platform_measured: Callable[..., None], tmp_path: Path) -> None:
    platform_measured(*counted(PROMISES, tmp_path / "tests.xml"))
