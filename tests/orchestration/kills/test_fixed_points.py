"""`kill -9` at fixed places: the next run ends with the undisturbed bytes, and nothing of the dead is left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestration.graph import expand
from orchestration.verification.verify import verify
from orchestration.workspace import Workspace
from tests.orchestration.kills.killing import RECLAIM_S, Point, Survival, survive, versions_of
from tests.orchestration.kills.points import POINTS, RARER

ChangeParams = Callable[[Workspace, dict[str, object]], None]
SLOW = 8
"""How many times slower than a quiet machine the one may be on which these tests run; the figures have the bar."""
RECORD = "KILLS_RECORD"
"""Names a file to which every survival is added, for the figures."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "point", [pytest.param(one, id=str(one), marks=[pytest.mark.soak] * (one.at in RARER)) for one in POINTS]
)
def test_killed_run_is_made_good_by_the_next(
    point: Point, baseline: Workspace, finished: Workspace, change_params: ChangeParams
) -> None:
    expected = versions_of(finished)
    change_params(baseline, dict(point.changes))
    survival = survive(baseline, point, expected)
    survived = survival.whole(expected) and survival.reclaim_s <= RECLAIM_S
    _write_down(point, survival, survived)
    assert survival.exit_code == 0, survival.said
    assert survival.half_published == ()
    assert survival.looks > len(expand(tuple(baseline.params().attributes)))
    assert survival.versions == expected
    assert survival.left == ()
    assert survival.reclaim_s <= SLOW * RECLAIM_S
    verified = verify(baseline)
    assert verified.holds, verified.summary
    shutil.rmtree(baseline.root)  # two dozen of them fill a small disk


def _write_down(point: Point, survival: Survival, survived: bool) -> None:
    if RECORD in os.environ:
        seen = asdict(replace(survival, versions={}, said=""))
        with Path(os.environ[RECORD]).open("a") as record:
            record.write(json.dumps({"point": str(point), "survived": survived, **seen}) + "\n")
