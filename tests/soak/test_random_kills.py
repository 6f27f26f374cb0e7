"""Kills at random moments, seeded: whatever dies, the next run ends with the undisturbed run's bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from dagster import DagsterInstance
from filelock import FileLock

from orchestration.results import Bar, Figure, record_all
from orchestration.verification.verify import verify
from orchestration.worker import TITLE
from orchestration.workspace import VARIABLE, Workspace
from tests.orchestration.kills.killing import (
    POLL_S,
    RECLAIM_S,
    Versions,
    ended,
    family,
    kill_tree,
    said,
    start,
    versions_of,
)
from tests.orchestration.kills.leftovers import Dead, at_kill, left_behind, unreclaimed
from tests.orchestration.kills.watching import ABSENT, Watcher

PROMISED = 100
"""Kills that are to be survived; a shorter soak falls short of them in the figures too."""
KILLS, SEED = int(os.environ.get("SOAK_KILLS", PROMISED)), int(os.environ.get("SOAK_SEED", "0"))
KILLS_PER_WORKSPACE = 10
PARTS = 2
"""Tests that share the kills, side by side where the session has two processes."""
EARLIEST_S, LATEST_S = 2.0, 22.0
# No part begins a workspace after that, so that each ends within an hour.
LAST_BEGIN_S = 3000.0
VICTIMS = ("all", "worker", "run", "child")
DOCS = Path(os.environ.get("BENCH_DOCS", Path(__file__).resolve().parents[2] / "docs"))


@dataclass
class Kills:
    """The kills of one workspace: the runs that are killed, and how long the dead were named."""

    ws: Workspace
    instance: DagsterInstance
    draw: random.Random
    run: subprocess.Popen[bytes] | None = None
    done: list[str] = field(default_factory=list)
    reclaim_s: list[float] = field(default_factory=list)
    named: list[tuple[Dead, float]] = field(default_factory=list)

    def one(self) -> None:
        """Let a run go on for a while, begin one where none does, and kill some of it."""
        if self.run is None or self.run.poll() is not None:
            self.run = start(self.ws)
        self._let_pass(self.draw.uniform(EARLIEST_S, LATEST_S))
        victim = self.draw.choice(VICTIMS)
        if self.run.poll() is None:
            self._kill(self.run, victim)
            self.done.append(victim)

    def finish(self) -> int:
        """Let what runs end by itself, then run once more: the exit status of that."""
        if self.run is not None:
            self._end_of(self.run)
        code = self._end_of(start(self.ws))
        self._let_pass(0.0)
        return code

    def _end_of(self, run: subprocess.Popen[bytes]) -> int:
        while run.poll() is None and self.named:
            self._let_pass(POLL_S)
        return ended(run)

    def _let_pass(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            for dead, killed_at in [one for one in self.named if not unreclaimed(self.ws, self.instance, one[0])]:
                self.named.remove((dead, killed_at))
                self.reclaim_s.append(time.monotonic() - killed_at)
            if time.monotonic() >= until:
                return
            time.sleep(POLL_S)

    def _kill(self, run: subprocess.Popen[bytes], victim: str) -> None:
        if victim == "all":
            dead = at_kill(self.ws, self.instance, family(run))
            kill_tree(run)
            self.run = start(self.ws)
            self.named = [(dead, time.monotonic())]  # those who died before are named by nobody who lives
            return
        children = sorted(family(run) - {run.pid})
        workers = [pid for pid in children if TITLE in _command(pid)]
        among = {"worker": workers, "run": [run.pid], "child": children}[victim]
        with suppress(ProcessLookupError):
            os.kill(self.draw.choice(among or [run.pid]), signal.SIGKILL)


@dataclass(frozen=True)
class Outcome:
    """How one workspace came out of its kills; `reclaim_s` has a time for each kill of a whole run."""

    kills: int
    whole: bool
    half_published: tuple[str, ...]
    reclaim_s: tuple[float, ...]
    said: str


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_random_kills_leave_the_undisturbed_payloads(
    part: int,
    empty_workspace: Path,
    finished: Workspace,
    shared_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kills = KILLS // PARTS + (part < KILLS % PARTS)
    draw, expected, began = random.Random(f"{SEED}/{part}"), versions_of(finished), time.monotonic()
    outcomes: list[Outcome] = []
    while (killed := sum(one.kills for one in outcomes)) < kills and time.monotonic() - began < LAST_BEGIN_S:
        root = tmp_path / f"workspace-{len(outcomes)}"
        shutil.copytree(empty_workspace, root, symlinks=True)
        monkeypatch.setenv(VARIABLE, str(root))
        monkeypatch.setenv("DAGSTER_HOME", str(root / ".editloom" / "dagster"))
        outcomes.append(_killed(Workspace.at(root), draw, min(KILLS_PER_WORKSPACE, kills - killed), expected))
        if outcomes[-1].whole:
            shutil.rmtree(root)
    _write_down(shared_folder, part, outcomes)
    assert [one.said for one in outcomes if not one.whole] == []
    assert [one.half_published for one in outcomes if one.half_published] == []
    assert all(seconds <= RECLAIM_S for one in outcomes for seconds in one.reclaim_s)
    assert sum(one.kills for one in outcomes) == kills


def _killed(ws: Workspace, draw: random.Random, count: int, expected: Versions) -> Outcome:
    allowed = {asset_id: frozenset({version, ABSENT}) for asset_id, version in expected.items()}
    ws.prepare()
    with ws.dagster_instance() as instance, Watcher(ws) as watcher:
        kills = Kills(ws, instance, draw)
        rounds = 0
        while len(kills.done) < count and rounds < 3 * count:  # a run may end before its kill
            kills.one()
            rounds += 1
        code = kills.finish()
        left, named = left_behind(ws, instance), [dead for dead, _ in kills.named]
    seen, found = watcher.half_published(allowed), versions_of(ws)
    whole = code == 0 and found == expected and not (left or named or seen) and verify(ws).holds
    different = {str(i): (found.get(i), version) for i, version in expected.items() if found.get(i) != version}
    story = f"{kills.done}: exit {code}, left {left}, named {named}, seen {seen}, different {different}\n{said(ws)}"
    return Outcome(len(kills.done), whole, tuple(seen), tuple(kills.reclaim_s), story)


def _write_down(folder: Path, part: int, outcomes: list[Outcome]) -> None:
    """Leave what this part came to; the part that ends last records them all."""
    with FileLock(folder / "soak.lock"):
        (folder / f"soak-{part}.json").write_text(json.dumps([asdict(one) for one in outcomes]))
        parts = sorted(folder.glob("soak-*.json"))
        if len(parts) == PARTS:
            _record([Outcome(**one) for path in parts for one in json.loads(path.read_text())])


def _record(outcomes: list[Outcome]) -> None:
    survived = sum(one.kills for one in outcomes if one.whole)
    reclaims = [seconds for one in outcomes for seconds in one.reclaim_s]
    half = sum(len(one.half_published) for one in outcomes)
    note = f"of {KILLS}, {len(outcomes)} workspaces, seed {SEED}; victims: the whole run, it alone, a worker, any child"
    figures = [
        Figure("random kills survived with equal payloads", survived, "kills", bar=Bar(PROMISED), note=note),
        Figure("half-published artifacts seen under random kills", half, "artifacts", bar=Bar(at_most=0), note=note),
    ]
    if reclaims:  # a short soak may kill no whole run: then nothing was measured
        told = f"{len(reclaims)} kills of a whole run; two runs beside each other"
        longest = Figure(
            "longest reclaim after random kills", max(reclaims), "s", bar=Bar(at_most=RECLAIM_S), note=told
        )
        figures.append(longest)
    record_all(DOCS, figures, group="platform", command="make soak")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
